"""The tables. Only this package sees them; `records` is what goes out.

A document is the unit of work: the lease stands on it, so that no two workers ever hold one document. The items of jobs
follow it: every open item of a document with the pending fingerprint shares its fate.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Float,
    ForeignKey,
    Index,
    String,
    Text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from pipelines.core.access import Labels
from pipelines.core.state.columns import LabelsText, UtcDateTime

REVISION = "0003"
"""The newest migration. Kept here so that start-up can compare without importing Alembic; a test keeps it true."""


class Base(DeclarativeBase):
    """Column types by annotation."""

    type_annotation_map = {datetime: UtcDateTime, dict[str, Any]: JSON, list[str]: JSON, str: Text}  # noqa: RUF012  # SQLAlchemy's own shape


class Leased:
    """What one worker holds until its lease ends; all three are `NULL` while nobody does."""

    lease_token: Mapped[str | None] = mapped_column(String(64))
    lease_owner: Mapped[str | None] = mapped_column(String(255))
    lease_until: Mapped[datetime | None]


class DocumentRow(Leased, Base):
    """A document, its published version, its pending version and its lease."""

    __tablename__ = "documents"
    __table_args__ = (
        # a hash, because PostgreSQL bounds the size of an index entry and a source may be a long address
        Index("uq_documents_tenant_source", "tenant", "source_sha256", unique=True),
        # the whole order of the queue: a batch of thousands was queued at the same moment
        Index("ix_documents_queue", "status", "queued_at", "id"),
        Index("ix_documents_tenant_created", "tenant", "created_at", "id"),
        Index("ix_documents_lease", "lease_until"),
        Index("ix_documents_blob", "blob_key"),
        Index("ix_documents_text", "text_key"),
    )

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    tenant: Mapped[str] = mapped_column(String(128))
    source: Mapped[str]
    source_sha256: Mapped[str] = mapped_column(String(64))
    name: Mapped[str]
    status: Mapped[str] = mapped_column(String(16))
    content_sha256: Mapped[str] = mapped_column(String(64))
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    format: Mapped[str] = mapped_column(String(128))
    labels: Mapped[Labels] = mapped_column(LabelsText, default=())
    blob_key: Mapped[str] = mapped_column(String(255))
    text_key: Mapped[str | None] = mapped_column(String(255))
    title: Mapped[str | None]
    metadata_: Mapped[dict[str, Any]] = mapped_column("metadata", JSON)
    passages: Mapped[int] = mapped_column(default=0)
    version: Mapped[str | None] = mapped_column(String(128))
    # a worker may have published a version and died before it could say so: `version` is then not to be relied on
    version_uncertain: Mapped[bool] = mapped_column(default=False)
    pending_version: Mapped[str | None] = mapped_column(String(128))
    attempts: Mapped[int] = mapped_column(default=0)
    error_code: Mapped[str | None] = mapped_column(String(64))
    error_detail: Mapped[str | None]
    queued_at: Mapped[datetime]
    not_before: Mapped[datetime | None]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    indexed_at: Mapped[datetime | None]


class JobRow(Base):
    """A batch of documents (`ingest`), of questions (`answers`), or a source's documents (`sync`).

    Its status is derived from its items. A job with an idempotency key is found again by it.
    """

    __tablename__ = "jobs"
    __table_args__ = (
        Index("ix_jobs_tenant_created", "tenant", "created_at"),
        Index("uq_jobs_idempotency", "tenant", "idempotency_key", unique=True),
    )

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    tenant: Mapped[str] = mapped_column(String(128))
    kind: Mapped[str] = mapped_column(String(32))
    total: Mapped[int]
    # whose labels the job was made with; NULL: every one
    labels: Mapped[Labels | None] = mapped_column(LabelsText)
    idempotency_key: Mapped[str | None] = mapped_column(String(255))
    request_sha256: Mapped[str | None] = mapped_column(String(64))
    created_at: Mapped[datetime]
    cancelled_at: Mapped[datetime | None]


class JobItemRow(Base):
    """One submission. It outlives its document, so that a job's history stays whole after a deletion."""

    __tablename__ = "job_items"
    __table_args__ = (
        Index("ix_job_items_document", "document_id", "fingerprint"),
        Index("ix_job_items_blob", "blob_key"),
        Index("ix_job_items_changed", "job_id", "updated_at", "ordinal"),
        Index("ix_job_items_status", "job_id", "status"),
    )

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    ordinal: Mapped[int] = mapped_column(primary_key=True)
    document_id: Mapped[str] = mapped_column(String(64))
    source: Mapped[str]
    name: Mapped[str]
    content_sha256: Mapped[str] = mapped_column(String(64))
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    format: Mapped[str] = mapped_column(String(128))
    labels: Mapped[Labels] = mapped_column(LabelsText, default=())
    blob_key: Mapped[str] = mapped_column(String(255))
    metadata_: Mapped[dict[str, Any]] = mapped_column("metadata", JSON)
    fingerprint: Mapped[str] = mapped_column(String(128))
    status: Mapped[str] = mapped_column(String(16))
    attempts: Mapped[int] = mapped_column(default=0)
    error_code: Mapped[str | None] = mapped_column(String(64))
    error_detail: Mapped[str | None]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class AnswerRow(Base):
    """The receipt of an answer."""

    __tablename__ = "receipts"
    __table_args__ = (
        Index("ix_receipts_tenant_created", "tenant", "created_at"),
        Index("ix_receipts_created", "created_at"),
    )

    answer_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    tenant: Mapped[str] = mapped_column(String(128))
    created_at: Mapped[datetime]
    status: Mapped[str] = mapped_column(String(32))
    total_ms: Mapped[float] = mapped_column(Float)
    cost_usd: Mapped[float | None] = mapped_column(Float)
    tokens_in: Mapped[int] = mapped_column(BigInteger)
    tokens_out: Mapped[int] = mapped_column(BigInteger)
    config_version: Mapped[str] = mapped_column(String(64))
    # whose labels the question was asked with; NULL: every one
    labels: Mapped[Labels | None] = mapped_column(LabelsText)
    receipt: Mapped[dict[str, Any]] = mapped_column(JSON)


class ApiKeyRow(Base):
    """An API key: its secret as a hash, and what it may do."""

    __tablename__ = "api_keys"
    __table_args__ = (Index("ix_api_keys_tenant", "tenant", "created_at"),)

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    secret_sha256: Mapped[str] = mapped_column(String(64))
    tenant: Mapped[str] = mapped_column(String(128))
    name: Mapped[str]
    scopes: Mapped[list[str]] = mapped_column(JSON)
    labels: Mapped[Labels | None] = mapped_column(LabelsText)
    rate_per_minute: Mapped[int | None]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    used_at: Mapped[datetime | None]


class BatchQuestionRow(Leased, Base):
    """A question of a batch, its lease, and its answer."""

    __tablename__ = "batch_questions"
    __table_args__ = (
        Index("ix_batch_questions_due", "status", "queued_at"),
        Index("ix_batch_questions_status", "job_id", "status"),
        Index("ix_batch_questions_lease", "lease_until"),
    )

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    ordinal: Mapped[int] = mapped_column(primary_key=True)
    custom_id: Mapped[str | None] = mapped_column(String(255))
    question: Mapped[dict[str, Any]] = mapped_column(JSON)
    status: Mapped[str] = mapped_column(String(16))
    attempts: Mapped[int] = mapped_column(default=0)
    answer: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    error_code: Mapped[str | None] = mapped_column(String(64))
    error_detail: Mapped[str | None]
    queued_at: Mapped[datetime]
    not_before: Mapped[datetime | None]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class SourceRow(Leased, Base):
    """A folder or bucket prefix that a tenant's documents come from, and how the last look at it went."""

    __tablename__ = "sources"
    __table_args__ = (
        Index("uq_sources_tenant_url", "tenant", "url_sha256", unique=True),
        Index("ix_sources_due", "status", "queued_at"),
    )

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    tenant: Mapped[str] = mapped_column(String(128))
    url: Mapped[str]
    url_sha256: Mapped[str] = mapped_column(String(64))
    labels: Mapped[Labels] = mapped_column(LabelsText, default=())
    metadata_: Mapped[dict[str, Any]] = mapped_column("metadata", JSON)
    keep_deleted: Mapped[bool] = mapped_column(default=False)
    generation: Mapped[int] = mapped_column(default=0)
    status: Mapped[str] = mapped_column(String(16))
    job_id: Mapped[str | None] = mapped_column(String(64))
    attempts: Mapped[int] = mapped_column(default=0)
    listed: Mapped[int] = mapped_column(default=0)
    added: Mapped[int] = mapped_column(default=0)
    changed: Mapped[int] = mapped_column(default=0)
    deleted: Mapped[int] = mapped_column(default=0)
    error_code: Mapped[str | None] = mapped_column(String(64))
    error_detail: Mapped[str | None]
    queued_at: Mapped[datetime]
    not_before: Mapped[datetime | None]
    created_at: Mapped[datetime]
    synced_at: Mapped[datetime | None]


class SourceFileRow(Base):
    """A file of a source as it was last seen: what tells a change, and which document it became.

    An archive has a row of its own, which became no document, and one for each member, in which `parent_sha256` names
    it. `mark` is empty where the next look is to read the file again, whatever it finds.
    """

    __tablename__ = "source_files"
    __table_args__ = (
        Index("ix_source_files_generation", "source_id", "generation"),
        Index("ix_source_files_parent", "source_id", "parent_sha256"),
        Index("ix_source_files_document", "document_id"),
    )

    source_id: Mapped[str] = mapped_column(ForeignKey("sources.id", ondelete="CASCADE"), primary_key=True)
    path_sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    parent_sha256: Mapped[str | None] = mapped_column(String(64))
    path: Mapped[str]
    mark: Mapped[str] = mapped_column(String(64))
    document_id: Mapped[str | None] = mapped_column(String(64))
    generation: Mapped[int]


class TurnRow(Base):
    """Work that one process does for all now and then: whoever finds it due takes the turn and sets the next time."""

    __tablename__ = "turns"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    due_at: Mapped[datetime]
    place: Mapped[str] = mapped_column(default="")


class BuildRow(Leased, Base):
    """A collection that a reindex is to replace, or has replaced; most are never in here.

    `shadow` names the one that is made to take its place, `preparation` how that one's documents are prepared. Until
    `held_until` nothing is published into this one; once it is retired, nothing that happened to it is recorded.
    """

    __tablename__ = "index_builds"

    id: Mapped[str] = mapped_column(String(255), primary_key=True)
    shadow: Mapped[str | None] = mapped_column(String(255))
    preparation: Mapped[str | None] = mapped_column(String(64))
    held_until: Mapped[datetime | None]
    retired_at: Mapped[datetime | None]


class ReindexedRow(Base):
    """A document that a shadow holds: from which version of it, and what its row will say once the shadow is live."""

    __tablename__ = "reindexed_documents"
    __table_args__ = (Index("ix_reindexed_documents_text", "text_key"),)

    build: Mapped[str] = mapped_column(String(255), primary_key=True)
    document_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    source_version: Mapped[str] = mapped_column(String(128))
    version: Mapped[str] = mapped_column(String(128))
    passages: Mapped[int]
    title: Mapped[str]
    text_key: Mapped[str | None] = mapped_column(String(255))


class WorkerRow(Base):
    """A worker process that was heard of lately."""

    __tablename__ = "workers"
    __table_args__ = (Index("ix_workers_seen", "seen_at"),)

    id: Mapped[str] = mapped_column(String(255), primary_key=True)
    roles: Mapped[list[str]] = mapped_column(JSON)
    busy: Mapped[list[str]] = mapped_column(JSON)
    started_at: Mapped[datetime]
    seen_at: Mapped[datetime]
