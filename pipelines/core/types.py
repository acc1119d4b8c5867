"""The values that stages exchange: frozen, validated, and the same as JSON on a queue or over HTTP.

Offsets count Unicode code points in the *source text* of a document: the Markdown-like common form that conversion made
and that Strata keeps (`source_text[start:end]`). Pages count from 1 and are `None` where the format has none.
"""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, computed_field

Stage = Literal["plan", "retrieve", "prune", "synthesize", "cite"]
Scalar = str | int | float | bool
Unit = Annotated[float, Field(ge=0.0, le=1.0)]

MAX_EXACT = 2**53
"""Largest integer that every reader of JSON takes as it is."""

DEFAULT_TENANT = "default"


class Value(BaseModel):
    """An immutable value. Copying one is free: Haystack deep-copies each component's inputs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        return self

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A new value with some fields changed, validated. Pydantic would change what `__copy__` returns: this one."""
        return type(self).model_validate({**dict(self), **update}) if update else self


# --- Documents -----------------------------------------------------------------------------------------------------


class Sentence(Value):
    """A sentence, table row or list item of a passage, by its offsets in the source text."""

    start: int
    end: int
    page: int | None = None


class Passage(Value):
    """A verbatim slice of a document's source text: `text == source_text[start:end]`.

    Attributes:
        id: UUID derived from the document, its version and the passage's place in it.
        version: Hex SHA-256 that names the content *and* the way it was prepared; see `indexing.identity`.
        section_id: UUID of the section, shared by all passages of one heading.
        section_path: Headings from the outermost to the innermost, the document's title not included.
        sentences: In order, non-overlapping, inside `[start, end)`.
        labels: Access labels of the document; see `pipelines.core.access`.
    """

    id: str
    document_id: str
    version: str
    section_id: str
    title: str
    source: str
    section_path: tuple[str, ...] = ()
    page: int | None = None
    start: int
    end: int
    text: str
    sentences: tuple[Sentence, ...] = ()
    metadata: Mapping[str, Scalar | tuple[Scalar, ...]] = {}
    labels: tuple[str, ...] = ()

    def quote(self, sentence: Sentence) -> str:
        """The verbatim text of one of this passage's sentences."""
        return self.text[sentence.start - self.start : sentence.end - self.start]

    @property
    def context(self) -> str:
        """Where the passage stands, as one line that is embedded and indexed with its text."""
        return " > ".join(part for part in (self.title, *self.section_path) if part)


class Range(Value):
    """A half-open or closed range over a numeric metadata field."""

    gte: float | None = None
    gt: float | None = None
    lte: float | None = None
    lt: float | None = None


class Filter(Value):
    """Which passages a query may see. Applied inside the index.

    Attributes:
        metadata: Field to one value, several (any of them), or a `Range`. All fields must match.
        document_ids: Only these documents; empty means all.
        labels: Access labels of whoever asks: only documents without labels or with one of these; `None` means all. See
            `pipelines.core.access`.
    """

    tenant: str = DEFAULT_TENANT
    labels: tuple[str, ...] | None = None
    metadata: Mapping[str, Scalar | tuple[Scalar, ...] | Range] = {}
    document_ids: tuple[str, ...] = ()


class Hit(Value):
    """A passage found by the index. `score` is the fused reciprocal-rank score: higher is better, not a probability."""

    passage: Passage
    score: float


# --- Question ------------------------------------------------------------------------------------------------------


class Turn(Value):
    """An earlier turn of the conversation."""

    role: Literal["user", "assistant"]
    text: str


class Limits(Value):
    """What one request may spend. `None` means the configured default.

    Attributes:
        max_cost_usd: Of all model calls together, by the prices of the configuration and an estimate of each prompt's
            tokens. A call that it does not pay for, or whose price is unknown, is not made: the stage works in process.
        max_large_tokens: Of the large call, prompt and answer together, estimated.
    """

    deadline_ms: int | None = Field(default=None, gt=0, le=MAX_EXACT)
    max_cost_usd: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    max_large_tokens: int | None = Field(default=None, ge=0, le=MAX_EXACT)


class Question(Value):
    """What a person asks: the last turn as written, and what came before it."""

    text: str
    history: tuple[Turn, ...] = ()
    filter: Filter = Filter()
    limits: Limits = Limits()
    explain: bool = False


class SearchQuery(Value):
    """One query of a plan. `weight` scales its votes in the fusion; the raw question has 1."""

    text: str
    weight: float = Field(default=1.0, gt=0)


class Plan(Value):
    """What to search for. `queries[0]` is always the question as asked."""

    standalone: str
    queries: tuple[SearchQuery, ...]


# --- Evidence and answer -------------------------------------------------------------------------------------------


class EvidenceItem(Value):
    """A passage that survived pruning, and which of its sentences carry evidence.

    Attributes:
        number: The citation marker, from 1.
        score: Relevance to the question, 0 to 1, higher is better.
        kept: Indices into `passage.sentences`, ascending.
        scores: One relevance score a sentence of the passage, in order; empty where the pruner gave none.
    """

    number: int
    passage: Passage
    score: float
    kept: tuple[int, ...]
    scores: tuple[float, ...] = ()

    @property
    def text(self) -> str:
        """The kept sentences, a gap shown as an ellipsis."""
        parts: list[str] = []
        previous: int | None = None
        for index in self.kept:
            if previous is not None and index != previous + 1:
                parts.append("[…]")
            parts.append(self.passage.quote(self.passage.sentences[index]).strip())
            previous = index
        return " ".join(parts)


class Fate(Value):
    """What became of a retrieved passage."""

    passage_id: str
    document_id: str
    title: str
    outcome: Literal["pruned", "evidence", "cited"]
    reason: str = ""
    score: float | None = None


class Evidence(Value):
    """What the answer may rest on.

    Attributes:
        sufficiency: Estimated probability that the evidence answers the question.
        sufficient: Whether that is enough to spend the large call.
        retrieved_tokens: Estimated tokens of all retrieved passages with their titles, before pruning; the receipt's
            baseline.
    """

    items: tuple[EvidenceItem, ...] = ()
    sufficiency: Unit = 0.0
    sufficient: bool = False
    retrieved_tokens: int = 0
    fates: tuple[Fate, ...] = ()


class AnswerStatus(StrEnum):
    """`answered`; `insufficient_evidence`: the documents do not answer; `degraded`: by a lesser way."""

    ANSWERED = "answered"
    INSUFFICIENT = "insufficient_evidence"
    DEGRADED = "degraded"


class Draft(Value):
    """What synthesis wrote, with inline markers such as `[2]`. `text` is empty when it abstains.

    Attributes:
        evidence_tokens: Estimated tokens of evidence that a model was sent for it; 0 where none was called.
    """

    text: str = ""
    status: AnswerStatus = AnswerStatus.ANSWERED
    reasons: tuple[str, ...] = ()
    evidence_tokens: int = 0


class Citation(Value):
    """A checkable reference: `quote == source_text[start:end]` of the document version named.

    Attributes:
        number: The marker in the answer's text.
        support: How far the quote supports the claim, 0 to 1.
    """

    number: int
    document_id: str
    version: str
    passage_id: str
    title: str
    source: str
    section_path: tuple[str, ...] = ()
    page: int | None = None
    start: int
    end: int
    quote: str
    support: float | None = None


class Usage(Value):
    """What model calls cost. `cost_usd` is `None` where the price is unknown, never a guess."""

    calls: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    cost_usd: float | None = 0.0
    model_ms: float = 0.0

    def __add__(self, other: "Usage") -> "Usage":
        known = self.cost_usd is not None and other.cost_usd is not None
        return Usage(
            calls=self.calls + other.calls,
            tokens_in=self.tokens_in + other.tokens_in,
            tokens_out=self.tokens_out + other.tokens_out,
            cost_usd=(self.cost_usd or 0.0) + (other.cost_usd or 0.0) if known else None,
            model_ms=self.model_ms + other.model_ms,
        )


class StageReceipt(Value):
    """What one stage did for one question.

    Attributes:
        tier: The name in `stages:`; `index` for retrieval.
        model: The model that did the work, provider prefix included.
        ms: Wall time of the stage; `usage.model_ms` of it was spent in models and encoders.
        fallback: Why another way than the configured one was taken; empty when it was not.
    """

    stage: Stage
    tier: str
    model: str
    usage: Usage = Usage()
    ms: float = 0.0
    fallback: str = ""


class Receipt(Value):
    """What an answer took, stage by stage, and what it spared.

    Attributes:
        large_tokens_avoided: Tokens of all retrieved passages less the tokens sent to the synthesis model.
    """

    stages: tuple[StageReceipt, ...] = ()
    total_ms: float = 0.0
    large_tokens_avoided: int = 0

    @computed_field  # type: ignore[prop-decorator]  # mypy does not know pydantic's stacked properties
    @property
    def total(self) -> Usage:
        """The sum over the stages."""
        return sum((stage.usage for stage in self.stages), Usage())


class Answer(Value):
    """The end of the question path."""

    id: str
    question: str
    status: AnswerStatus
    text: str
    citations: tuple[Citation, ...] = ()
    unsupported: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    plan: Plan | None = None
    receipt: Receipt = Receipt()
    fates: tuple[Fate, ...] = ()
    config_version: str = ""


MARKER = re.compile(r"\[(\d{1,3})\]")
"""An inline citation marker."""
