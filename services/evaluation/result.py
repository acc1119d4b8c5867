"""What a run gives, as it is written to a file. Shares lie between 0 and 1; times are milliseconds of wall time."""

from typing import Any

from pydantic import Field

from pipelines.core.types import Value
from services.evaluation.statistics import Interval, Spread


class RetrievalRow(Value):
    """One system on one group of questions.

    Attributes:
        recall, ndcg: Means over the questions, at `RetrievalResult.k` distinct documents.
        recall_interval, ndcg_interval: 95 % bootstrap intervals of the means.
    """

    system: str
    group: str
    n: int
    recall: float
    recall_interval: Interval
    ndcg: float
    ndcg_interval: Interval
    p50_ms: float


class RankedItem(Value):
    """The best documents that a system found for one question, best first."""

    id: str
    group: str
    system: str
    documents: tuple[str, ...]
    recall: float
    ndcg: float


class RetrievalResult(Value):
    """The rows of the table, and what they were computed from."""

    k: int
    rows: tuple[RetrievalRow, ...]
    items: tuple[RankedItem, ...] = Field(repr=False)


class AnswersResult(Value):
    """The whole question path over answerable questions.

    Attributes:
        failed: Questions that ended in an error, by its code.
        contains_answer: Share of all questions whose answer holds a gold answer.
        contains_answer_interval: 95 % bootstrap interval of it.
        verbatim: Share of the citations whose quote stands at its offsets in the stored source; `None` without any.
        wrongly_abstained: Share that ended as insufficient evidence.
        outside_models_ms: The part of `total_ms` that was not spent in models and encoders.
        calls, tokens_in, tokens_out, large_tokens_avoided: Means per question.
    """

    n: int
    answered: float
    wrongly_abstained: float
    failed: dict[str, int]
    contains_answer: float
    contains_answer_interval: Interval
    citations: int
    verbatim: float | None
    total_ms: Spread
    outside_models_ms: Spread
    calls: float
    tokens_in: float
    tokens_out: float
    cost_usd: float | None
    large_tokens_avoided: float


class AbstentionResult(Value):
    """The whole question path over questions whose gold documents are not in the index.

    Attributes:
        answered_right: Share whose answer holds a gold answer all the same: another document gives it.
    """

    n: int
    abstained: float
    abstained_interval: Interval
    answered_right: float
    failed: dict[str, int]


class IndexFacts(Value):
    """The corpus as it was indexed; `rejected` documents could not be, and nothing finds them."""

    documents: int
    passages: int
    rejected: tuple[str, ...]
    corpus_sha256: str


class Result(Value):
    """One run.

    Attributes:
        skipped: Questions of the split without a gold document.
        config_version: Names `settings`, which are the effective ones, secrets masked.
        durations_s: Seconds a part took.
    """

    set: str
    split: str
    limit: int | None
    seed: int
    questions: int
    skipped: int
    index: IndexFacts
    retrieval: RetrievalResult | None = None
    answers: AnswersResult | None = None
    abstention: AbstentionResult | None = None
    config_version: str
    settings: dict[str, Any]
    provenance: dict[str, Any]
    durations_s: dict[str, float]
