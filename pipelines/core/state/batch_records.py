"""What the batches of questions give out and take: frozen values."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pipelines.core.state.records import QuestionStatus
from pipelines.core.types import Question

FINAL = (QuestionStatus.ANSWERED, QuestionStatus.FAILED, QuestionStatus.CANCELLED)


@dataclass(frozen=True, slots=True)
class NewQuestion:
    """A question to be answered in a batch.

    Attributes:
        question: A `Question` as JSON, with its tenant and access labels.
        custom_id: The caller's own name for it, given back with the answer.
    """

    question: Mapping[str, Any]
    custom_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionItem:
    """A question that one worker holds until its lease ends.

    Attributes:
        token: Proves the lease.
        attempt: 1 for the first try.
        alone: Whether the process died that had it last: nothing else should run beside it, so that a question that
            kills its process costs the others nothing.
    """

    token: str
    tenant: str
    job_id: str
    ordinal: int
    question: Question
    attempt: int
    alone: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionResult:
    """What became of one question. `ordinal` is its place in the batch, from 0; `answer` is an `Answer` as JSON."""

    ordinal: int
    custom_id: str | None
    status: QuestionStatus
    attempts: int
    answer: Mapping[str, Any] | None
    error_code: str | None
    error_detail: str | None
    next_try_at: datetime | None
    finished_at: datetime | None

    @property
    def final(self) -> bool:
        """Whether the question has ended."""
        return self.status in FINAL
