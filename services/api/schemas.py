"""What goes over HTTP beyond the values of `pipelines.core.types`. No field repeats a tenant."""

import json
from collections.abc import Mapping
from datetime import datetime
from math import isfinite
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
)

from pipelines.core.access import LABEL, MAX_LABELS, Principal
from pipelines.core.state import Document, DocumentStatus, JobItem
from pipelines.core.types import Filter as CoreFilter
from pipelines.core.types import Hit, Limits, Question, Range, Receipt, Scalar, Turn
from services.api.limits import UnsupportedMediaTypeError

INT64 = 2**63
MAX_INT32 = 2**31 - 1
MAX_FIELDS = 100


def _storable(value: Scalar) -> Scalar:
    if isinstance(value, float) and not isfinite(value):
        raise ValueError("not a number that can be stored")
    if isinstance(value, int) and not -INT64 <= value < INT64:
        raise ValueError("outside the range of 64-bit integers")
    if isinstance(value, str) and "\0" in value:
        raise ValueError("holds the character U+0000")
    return value


def _clean(text: str) -> str:
    if any(ord(char) < 32 or ord(char) == 127 for char in text):
        raise ValueError("holds control characters")
    return text


def _exchangeable(data: object) -> object:
    """Refuses what Python reads from JSON though no other system would: half surrogate pairs, NaN and infinity.

    Raises:
        UnsupportedMediaTypeError: the body was not read as JSON, since it does not say that it is.
    """
    if isinstance(data, bytes):
        raise UnsupportedMediaTypeError("Send the body as application/json.")
    try:
        json.dumps(data, ensure_ascii=False, allow_nan=False).encode()
    except UnicodeEncodeError:
        raise ValueError("a text holds half a surrogate pair, which is no character") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return data


Exchangeable = BeforeValidator(_exchangeable)

Value = Annotated[
    StrictBool | StrictInt | StrictFloat | Annotated[StrictStr, Field(max_length=10_000)], AfterValidator(_storable)
]
Key = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_clean)]
Metadata = Annotated[dict[Key, Value | Annotated[list[Value], Field(max_length=1000)]], Field(max_length=MAX_FIELDS)]
Label = Annotated[str, Field(min_length=1, max_length=2000), AfterValidator(_clean)]


AccessLabels = Annotated[
    list[Annotated[str, Field(pattern=rf"^{LABEL.pattern}$")]],
    Field(max_length=MAX_LABELS, description="Access labels: who holds one of them sees it; without any, all do."),
]


class Body(BaseModel):
    """A request: unknown fields are refused, so that a misspelt one is not passed over in silence."""

    model_config = ConfigDict(extra="forbid")


# --- Questions -----------------------------------------------------------------------------------------------------


class Filter(Body):
    """Which passages may be seen. Applied inside the index."""

    metadata: Annotated[
        dict[Key, Value | Annotated[tuple[Value, ...], Field(max_length=1000)] | Range], Field(max_length=MAX_FIELDS)
    ] = Field({}, description="Field to one value, several (any of them), or a range. All fields must match.")
    document_ids: Annotated[tuple[str, ...], Field(max_length=10_000)] = Field(
        (), description="Only these documents; empty means all."
    )

    def of(self, caller: Principal) -> CoreFilter:
        """The filter, bound to what the caller may see."""
        return caller.narrow(CoreFilter(metadata=self.metadata, document_ids=self.document_ids))


class AskRequest(Body):
    """A question."""

    question: str = Field(examples=["When was the reactor first critical?"])
    history: tuple[Turn, ...] = Field((), description="Earlier turns, oldest first.")
    filter: Filter = Filter()
    limits: Limits = Field(Limits(), description="What this question may spend.")
    explain: bool = Field(False, description="Also tell the fate of every retrieved passage.")
    stream: bool = Field(False, description="Server-sent events, as with `Accept: text/event-stream`.")

    def of(self, caller: Principal) -> Question:
        """The question, bound to what the caller may see."""
        return Question(
            text=self.question,
            history=self.history,
            filter=self.filter.of(caller),
            limits=self.limits,
            explain=self.explain,
        )


class SearchRequest(Body):
    """A query for passages."""

    query: str
    limit: int = Field(10, ge=1, le=100)
    filter: Filter = Filter()


class SearchHits(BaseModel):
    """Passages, best first."""

    hits: list[Hit]


class AnswerReceipt(BaseModel):
    """What an answer took. No text of the question, the answer or a document is kept."""

    answer_id: str
    created_at: datetime
    status: str
    config_version: str
    receipt: Receipt


# --- Documents -----------------------------------------------------------------------------------------------------


class NewText(Body):
    """A document as text."""

    text: str
    title: Label | None = None
    name: Label | None = Field(None, description="File name to show.")
    source: Label | None = Field(
        None,
        description="Names the document: submitting the same source again replaces it. Without it the name, else the "
        "content, names it.",
    )
    format: Literal["markdown", "text", "html"] = "markdown"
    metadata: Metadata = {}
    labels: AccessLabels = []


class NewTexts(Body):
    """Documents as texts."""

    documents: Annotated[list[NewText], Field(min_length=1)]


class Failure(BaseModel):
    """Why a document was not indexed."""

    code: str
    detail: str

    @classmethod
    def of(cls, record: Document | JobItem) -> Self | None:
        """The failure that a record tells of."""
        return cls(code=record.error_code, detail=record.error_detail or "") if record.error_code else None


class DocumentView(BaseModel):
    """A document.

    A version that was indexed stays searchable while a newer one is prepared, and when that fails.
    """

    model_config = ConfigDict(from_attributes=True)

    id: str
    source: str
    name: str
    status: DocumentStatus
    title: str | None
    format: str
    size_bytes: int
    content_sha256: str
    passages: int
    version: str | None = Field(description="Version that searches find; `null` before the first.")
    attempts: int
    error: Failure | None
    metadata: Mapping[str, Scalar | tuple[Scalar, ...]]
    labels: tuple[str, ...] = Field(description="Its access labels, as far as the key holds them.")
    created_at: datetime
    updated_at: datetime
    indexed_at: datetime | None

    @classmethod
    def of(cls, document: Document, reader: Principal) -> Self:
        """As the ledger knows it and the reader may."""
        labels = reader.shown(document.labels)
        return cls.model_validate({**fields_of(cls, document), "error": Failure.of(document), "labels": labels})


class DocumentsPage(BaseModel):
    """Documents, oldest first."""

    documents: list[DocumentView]
    next_cursor: str | None = Field(description="Pass as `cursor` for the next page; `null` on the last.")


class TextSpan(BaseModel):
    """A part of a document's source text, in which citations count their offsets (Unicode code points)."""

    document_id: str
    version: str
    start: int
    end: int
    length: int = Field(description="Length of the whole source text.")
    text: str


# --- Health --------------------------------------------------------------------------------------------------------


class Alive(BaseModel):
    """The process runs."""

    status: Literal["alive"] = "alive"


class Check(BaseModel):
    """One part of the service."""

    ok: bool
    detail: str


class Readiness(BaseModel):
    """Whether the service can do its work."""

    ready: bool
    status: str = Field(description="`ready`, `degraded`, `unready`, `starting`, `failed` or `stopping`.")
    checks: Mapping[str, Check]


def fields_of(view: type[BaseModel], record: object) -> dict[str, object]:
    """What a record has of a view's fields."""
    return {name: getattr(record, name) for name in view.model_fields if hasattr(record, name)}
