"""What a client hears while its question is answered. The stream ends with `answer` or `error`, never silently."""

from collections.abc import Callable
from typing import Annotated, Literal

from pydantic import Field

from pipelines.core.types import Answer, Citation, EvidenceItem, Plan, Value


class PlanEvent(Value):
    """The plan is made."""

    type: Literal["plan"] = "plan"
    plan: Plan


class EvidenceEvent(Value):
    """The evidence is chosen; `number` of an item is the marker that deltas use."""

    type: Literal["evidence"] = "evidence"
    items: tuple[EvidenceItem, ...]
    sufficient: bool


class DeltaEvent(Value):
    """More of the answer as it is written. `restart` withdraws all text before it."""

    type: Literal["delta"] = "delta"
    text: str
    restart: bool = False


class CitationEvent(Value):
    """A verified citation; numbered as in the final text."""

    type: Literal["citation"] = "citation"
    citation: Citation


class AnswerEvent(Value):
    """The full answer. Its text replaces the deltas: markers are verified and numbered in order of appearance."""

    type: Literal["answer"] = "answer"
    answer: Answer


class ErrorEvent(Value):
    """There will be no answer. `retry_after_s`: when to try again, in seconds from now, where that is known."""

    type: Literal["error"] = "error"
    code: str
    detail: str
    retryable: bool
    retry_after_s: float | None = None


Event = Annotated[
    PlanEvent | EvidenceEvent | DeltaEvent | CitationEvent | AnswerEvent | ErrorEvent, Field(discriminator="type")
]
Emit = Callable[[PlanEvent | EvidenceEvent | DeltaEvent | CitationEvent | AnswerEvent | ErrorEvent], None]


def ignore(_: object) -> None:
    """The `Emit` of a caller who only wants the answer."""
