"""The question path: its stages, all of it, and batches of questions."""

from typing import Literal

from pydantic import Field

from pipelines.core.settings.section import MIB, Bytes, Seconds, Section, Weight


class PlanSettings(Section):
    """The plan stage."""

    max_queries: int = Field(
        4, ge=1, le=16, description="Search queries of one question, the question itself included."
    )
    standalone_weight: float = Field(
        2.0,
        gt=0,
        description="Weight of the question made to stand alone, where it leans on earlier turns; as asked it has 1. "
        "One vector, their mean, searches for both; by words each has its own votes.",
    )
    rewrite_weight: float = Field(0.5, gt=0, description="Votes of other wordings in the fusion.")
    timeout_s: Seconds = Field(8.0, description="After this long the question is searched as it stands.")


class RetrieveSettings(Section):
    """The retrieve stage."""

    top_k: int = Field(20, ge=1, le=500, description="Passages handed on to pruning.")
    candidates: int = Field(100, ge=1, le=2000, description="Passages that each ranking contributes to the fusion.")
    rrf_k: int = Field(5, ge=1, description="The constant k of reciprocal rank fusion.")
    dense_weight: Weight = Field(1.0, description="Votes of the dense ranking.")
    bm25_weight: Weight = Field(0.9, description="Votes of the BM25 ranking.")
    section_weight: Weight = Field(0.1, description="Votes of passages in the best sections; 0 turns descent off.")
    sections: int = Field(5, ge=1, le=100, description="Sections that retrieval descends into.")
    rounds: int = Field(
        1,
        ge=1,
        le=3,
        description="Searches of one question: where the evidence does not suffice, the further ones look for the "
        "documents whose titles it names.",
    )


class PruneSettings(Section):
    """The prune stage."""

    max_passages: int = Field(8, ge=1, le=100, description="Passages that may become evidence.")
    read_passages: int = Field(
        10,
        ge=1,
        le=100,
        description="Passages that the head `evidence` reads: the best by retrieval, words and vectors.",
    )
    budget_tokens: int = Field(1500, ge=50, description="Tokens of evidence handed to synthesis.")
    min_tokens: int = Field(
        400,
        ge=0,
        description="Tokens of evidence up to which the next best sentences are kept, however low they score.",
    )
    min_sufficiency: float = Field(
        0.35, ge=0, le=1, description="Estimated probability of an answer below which Strata abstains."
    )
    timeout_s: Seconds = Field(10.0, description="After this long the retrieval scores alone decide.")


class SynthesizeSettings(Section):
    """The synthesize stage."""

    max_sentences: int = Field(3, ge=1, le=20, description="Sentences of an extractive answer.")
    max_output_tokens: int = Field(1024, gt=0, description="Bound on a written answer.")
    temperature: float = Field(0.0, ge=0, le=2, description="Sampling temperature of the writing model.")
    when_away: Literal["refuse", "quote"] = Field(
        "refuse",
        description="While the writing model and its fallbacks are known to be away: `refuse` tells questions to come "
        "back, before anything is spent on them; `quote` answers them with sentences as they stand, `degraded`.",
    )


class CiteSettings(Section):
    """The cite stage."""

    min_support: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Support below which a claim is marked unsupported; empty means what was calibrated: the head's "
        "own, and 0.35 where words and cosine decide.",
    )
    timeout_s: Seconds = Field(
        10.0, description="After this long citations are bound by the in-process way; there, by words alone."
    )


class AnswerSettings(Section):
    """The question path as a whole."""

    deadline_s: Seconds = Field(60.0, description="Bound on one question, all stages together.")
    max_question_chars: int = Field(4000, gt=0, description="Longest question accepted.")
    max_history_turns: int = Field(50, ge=0, description="Most earlier turns accepted.")
    max_history_chars: int = Field(100_000, ge=0, description="Most characters of earlier turns, all together.")


class BatchSettings(Section):
    """Batches of questions (`POST /v1/answers`)."""

    max_questions: int = Field(10_000, ge=1, description="Most questions in one batch.")
    max_body_bytes: Bytes = Field(64 * MIB, description="Largest batch as JSON lines.")
    max_waiting: int = Field(
        100_000, ge=1, description="Questions that may wait; beyond it batches are told to come back."
    )
    concurrency: int = Field(4, ge=1, le=256, description="Questions that one worker answers at a time.")
    max_attempts: int = Field(3, ge=1, le=20, description="Tries of a question before it ends as failed.")
    keep_days: float = Field(30.0, gt=0, description="Days after which a finished batch and its results are removed.")
