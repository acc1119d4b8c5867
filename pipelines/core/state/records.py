"""What the ledger gives out and takes: frozen values, never database objects."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Generic, TypeVar

from pipelines.core.access import Labels
from pipelines.core.types import Receipt, Scalar

T = TypeVar("T")
Metadata = Mapping[str, Scalar | tuple[Scalar, ...]]


class DocumentStatus(StrEnum):
    """Where a document stands. `indexed` and `failed` are final until somebody submits or retries it."""

    QUEUED = "queued"
    RUNNING = "running"
    INDEXED = "indexed"
    FAILED = "failed"
    DELETING = "deleting"


class ItemStatus(StrEnum):
    """What became of one submission. `superseded`: a newer submission of the document came before it was indexed."""

    QUEUED = "queued"
    RUNNING = "running"
    INDEXED = "indexed"
    UNCHANGED = "unchanged"
    SUPERSEDED = "superseded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class QuestionStatus(StrEnum):
    """What became of one question of a batch."""

    QUEUED = "queued"
    RUNNING = "running"
    ANSWERED = "answered"
    FAILED = "failed"
    CANCELLED = "cancelled"


class ItemState(StrEnum):
    """An `ItemStatus`, with what a queued item waits for.

    `waiting`: no worker is free to take it. `retrying`: a try failed, and another follows.
    """

    QUEUED = "queued"
    WAITING = "waiting"
    RETRYING = "retrying"
    RUNNING = "running"
    INDEXED = "indexed"
    UNCHANGED = "unchanged"
    SUPERSEDED = "superseded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class JobStatus(StrEnum):
    """Derived from a job's items. `failed`: every item failed; a partial failure is `done`, see the counts."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class JobState(StrEnum):
    """A `JobStatus`, with what a job of which nothing runs waits for; see `ItemState`."""

    QUEUED = "queued"
    WAITING = "waiting"
    RETRYING = "retrying"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Once:
    """Marks a submission, so that sending it again finds the job that it made.

    Attributes:
        key: The caller's name for the submission, within the tenant.
        request_sha256: Of everything that makes another submission; see `pipelines.core.state.jobs.digest`.
    """

    key: str
    request_sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """One document that a caller hands in. Its bytes are in the blob store already.

    Attributes:
        document_id: UUID derived from tenant and source, so that the same source is always the same document.
        source: Address or label that names the document within its tenant.
        content_sha256: Hex SHA-256 of the bytes.
        format: Media format, as `indexing.convert` names it.
        fingerprint: Names the content *and* everything that shapes its passages; equal fingerprints are equal work.
    """

    document_id: str
    source: str
    name: str
    content_sha256: str
    size_bytes: int
    format: str
    blob_key: str
    fingerprint: str
    metadata: Metadata = field(default_factory=dict)
    labels: Labels = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A document as the ledger knows it.

    Attributes:
        version: Fingerprint that the index shows, `None` until it was indexed once. It stays while a newer one is
            prepared, and when that fails.
        pending_version: Fingerprint that is queued, running or failed; `None` when nothing is outstanding.
        attempts: Tries of the pending version so far.
        labels: Access labels of the version that the index shows, before the first of the newest that was submitted.
    """

    id: str
    tenant: str
    source: str
    name: str
    status: DocumentStatus
    content_sha256: str
    size_bytes: int
    format: str
    blob_key: str
    text_key: str | None
    title: str | None
    passages: int
    version: str | None
    pending_version: str | None
    attempts: int
    error_code: str | None
    error_detail: str | None
    metadata: Metadata
    labels: Labels
    created_at: datetime
    updated_at: datetime
    indexed_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A batch that was accepted.

    Attributes:
        counts: Items by status, with every `ItemStatus`, or `QuestionStatus` where `kind` is `answers`; they add up to
            `total`.
        retrying: Those of the queued items that failed before.
        detail: What the job waits for, where its state is `waiting` or `retrying`.
        next_try_at: When the next of the retrying items is due.
        labels: Access labels of whoever made it; `None`: every one.
        replayed: Whether this is the job of an earlier submission of the same `Once`.
    """

    id: str
    tenant: str
    kind: str
    status: JobStatus
    state: JobState
    detail: str | None
    total: int
    counts: Mapping[str, int]
    retrying: int
    next_try_at: datetime | None
    labels: Labels | None
    created_at: datetime
    finished_at: datetime | None
    replayed: bool = False

    @property
    def finished(self) -> bool:
        """Whether nothing of the job is queued or running any more, and nothing more comes."""
        return self.finished_at is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobItem:
    """One document of one job.

    Attributes:
        ordinal: Its place in the submission, from 0.
        detail: What it waits for, where its state is `waiting` or `retrying`.
        next_try_at: When it is due, where its state is `retrying`.
    """

    job_id: str
    ordinal: int
    document_id: str
    source: str
    name: str
    status: ItemStatus
    state: ItemState
    detail: str | None
    next_try_at: datetime | None
    content_sha256: str
    size_bytes: int
    fingerprint: str
    attempts: int
    error_code: str | None
    error_detail: str | None
    updated_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkItem:
    """A document that one worker holds until its lease ends.

    Attributes:
        token: Proves the lease; a worker that lost it changes nothing in the ledger any more.
        attempt: 1 for the first try.
        job_id: Of the job that handed this version in last.
        replaces: Blob and text keys of the version that this one replaces; see `Ledger.unreferenced`.
    """

    token: str
    tenant: str
    document_id: str
    source: str
    name: str
    content_sha256: str
    size_bytes: int
    format: str
    blob_key: str
    fingerprint: str
    attempt: int
    metadata: Metadata
    labels: Labels = ()
    job_id: str = ""
    replaces: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Deletion:
    """A document to remove from the index and the blobs; `keys` are the blobs that it may have been the last to use."""

    token: str
    tenant: str
    document_id: str
    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some records in order, and where the next page starts; `None` after the last."""

    items: tuple[T, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How much there is: documents by status (every status), and how long the oldest queued one waits, in seconds."""

    documents: Mapping[DocumentStatus, int]
    oldest_queued_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerRecord:
    """What is kept of an answer: its receipt, and no text of the question, the answer or a document."""

    answer_id: str
    tenant: str
    created_at: datetime
    status: str
    total_ms: float
    cost_usd: float | None
    tokens_in: int
    tokens_out: int
    config_version: str
    receipt: Receipt
