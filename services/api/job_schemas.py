"""Jobs and what they are made of, as they go over HTTP."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field

from pipelines.core.state import (
    ItemState,
    ItemStatus,
    Job,
    JobItem,
    JobState,
    JobStatus,
    QuestionStatus,
)
from pipelines.core.types import Answer
from services.api.schemas import AskRequest, Body, Failure, Key, fields_of


class JobView(BaseModel):
    """A batch of documents or questions. `failed`: every one failed; after a partial failure it is `done`.

    While nothing of it runs, `state` says what it waits for: `waiting` for a free worker, `retrying` for the next try.
    """

    id: str
    kind: str = Field(description="`ingest`, `sync` or `answers`.")
    status: JobStatus
    state: JobState
    detail: str | None = Field(description="What it waits for, or why the last try failed.")
    finished: bool
    total: int
    counts: Mapping[str, int] = Field(description="Documents or questions by status.")
    retrying: int = Field(description="Those of the queued ones that failed before.")
    next_try_at: datetime | None = Field(description="When the next of the retrying ones is due.")
    created_at: datetime
    finished_at: datetime | None

    @classmethod
    def of(cls, job: Job) -> Self:
        """As the ledger knows it."""
        return cls.model_validate(fields_of(cls, job))


class JobsPage(BaseModel):
    """Jobs, newest first."""

    jobs: list[JobView]
    next_cursor: str | None = Field(description="Pass as `cursor` for the next page; `null` on the last.")


class JobItemView(BaseModel):
    """What became of one document of a job. `ordinal` is its place in the submission, from 0."""

    ordinal: int
    document_id: str
    source: str
    name: str
    status: ItemStatus
    state: ItemState = Field(description="The status; of a queued document, what it waits for.")
    detail: str | None = Field(description="Why it waits, or why the last try failed.")
    next_try_at: datetime | None = Field(description="When it is tried again, while it is `retrying`.")
    attempts: int
    error: Failure | None
    started_at: datetime | None
    finished_at: datetime | None

    @classmethod
    def of(cls, item: JobItem) -> Self:
        """As the ledger knows it."""
        return cls.model_validate({**fields_of(cls, item), "error": Failure.of(item)})


class JobDetail(JobView):
    """A job with some of its documents."""

    items: list[JobItemView]
    next_after: int | None = Field(description="Pass as `after` for the next items; `null` after the last.")


class JobAccepted(BaseModel):
    """Documents that were accepted: they are kept, and will end as indexed or failed."""

    job: JobView
    documents: list[JobItemView]


class JobRetried(BaseModel):
    """A job whose failed documents or questions wait again."""

    job: JobView
    retried: int


class JobProgress(BaseModel):
    """How far a job is. The stream ends with `finished`."""

    type: Literal["progress", "finished"]
    job: JobView


class JobItemChanged(BaseModel):
    """A document of the job as it stands: each one at first, then those that changed."""

    type: Literal["item"] = "item"
    item: JobItemView


JobEvent = Annotated[JobProgress | JobItemChanged, Field(discriminator="type")]


# --- Batches of questions ------------------------------------------------------------------------------------------


class BatchQuestion(AskRequest):
    """A question of a batch."""

    stream: Literal[False] = Field(False, description="Answers of a batch are streamed by its results.")
    custom_id: Key | None = Field(None, description="Your own name for the question, given back with its answer.")


class BatchQuestions(Body):
    """A small batch; send large ones as JSON lines."""

    questions: Annotated[list[dict[str, Any]], Field(min_length=1)]


class BatchResult(BaseModel):
    """What became of one question of a batch. `ordinal` is its place in the batch, from 0."""

    ordinal: int
    custom_id: str | None
    status: QuestionStatus
    answer: Answer | None = Field(None, description="Where it is `answered`.")
    error: Failure | None = Field(None, description="Where it failed.")


class BatchResultEvent(BaseModel):
    """A result as the data of the event `result`."""

    type: Literal["result"] = "result"
    result: BatchResult
