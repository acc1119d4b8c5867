"""The tables. Only this package sees them; `records` is what goes out.

A document is the unit of work: the lease stands on it, so that no two workers ever hold one document. The items of jobs
follow it: every open item of a document with the pending fingerprint shares its fate.
"""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, DateTime, Dialect, Float, ForeignKey, Index, String, Text, TypeDecorator
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

REVISION = "0001"
"""The newest migration. Kept here so that start-up can compare without importing Alembic; a test keeps it true."""


class UtcDateTime(TypeDecorator[datetime]):
    """An aware time in UTC, in databases with and without time zones. Refuses naive times."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Stores UTC."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a naive time has no place in the ledger")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Reads UTC; SQLite gives naive times back."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Base(DeclarativeBase):
    """Column types by annotation."""

    type_annotation_map = {datetime: UtcDateTime, dict[str, Any]: JSON, str: Text}  # noqa: RUF012  # SQLAlchemy's own shape


class DocumentRow(Base):
    """A document, its published version, its pending version and its lease."""

    __tablename__ = "documents"
    __table_args__ = (
        # a hash, because PostgreSQL bounds the size of an index entry and a source may be a long address
        Index("uq_documents_tenant_source", "tenant", "source_sha256", unique=True),
        Index("ix_documents_status_queued", "status", "queued_at"),
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
    lease_token: Mapped[str | None] = mapped_column(String(64))
    lease_owner: Mapped[str | None] = mapped_column(String(255))
    lease_until: Mapped[datetime | None]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    indexed_at: Mapped[datetime | None]


class JobRow(Base):
    """A batch. Its status is derived from its items."""

    __tablename__ = "jobs"
    __table_args__ = (Index("ix_jobs_tenant_created", "tenant", "created_at"),)

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    tenant: Mapped[str] = mapped_column(String(128))
    kind: Mapped[str] = mapped_column(String(32))
    total: Mapped[int]
    created_at: Mapped[datetime]
    cancelled_at: Mapped[datetime | None]


class JobItemRow(Base):
    """One submission. It outlives its document, so that a job's history stays whole after a deletion."""

    __tablename__ = "job_items"
    __table_args__ = (
        Index("ix_job_items_document", "document_id", "fingerprint"),
        Index("ix_job_items_blob", "blob_key"),
    )

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    ordinal: Mapped[int] = mapped_column(primary_key=True)
    document_id: Mapped[str] = mapped_column(String(64))
    source: Mapped[str]
    name: Mapped[str]
    content_sha256: Mapped[str] = mapped_column(String(64))
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    format: Mapped[str] = mapped_column(String(128))
    blob_key: Mapped[str] = mapped_column(String(255))
    metadata_: Mapped[dict[str, Any]] = mapped_column("metadata", JSON)
    fingerprint: Mapped[str] = mapped_column(String(128))
    status: Mapped[str] = mapped_column(String(16))
    attempts: Mapped[int] = mapped_column(default=0)
    error_code: Mapped[str | None] = mapped_column(String(64))
    error_detail: Mapped[str | None]
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class AnswerRow(Base):
    """The receipt of an answer."""

    __tablename__ = "receipts"
    __table_args__ = (Index("ix_receipts_tenant_created", "tenant", "created_at"),)

    answer_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    tenant: Mapped[str] = mapped_column(String(128))
    created_at: Mapped[datetime]
    status: Mapped[str] = mapped_column(String(32))
    total_ms: Mapped[float] = mapped_column(Float)
    cost_usd: Mapped[float | None] = mapped_column(Float)
    tokens_in: Mapped[int] = mapped_column(BigInteger)
    tokens_out: Mapped[int] = mapped_column(BigInteger)
    config_version: Mapped[str] = mapped_column(String(64))
    receipt: Mapped[dict[str, Any]] = mapped_column(JSON)
