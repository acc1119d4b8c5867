"""The tables of recorded stages, of what a teacher says of them, and of the heads that were trained from them."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Float, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from pipelines.core.access import Labels
from pipelines.core.state.columns import LabelsText
from pipelines.core.state.tables import Base


class TraceRow(Base):
    """What a small stage was given and gave back for one question."""

    __tablename__ = "traces"
    __table_args__ = (
        Index("ix_traces_created", "created_at", "id"),
        Index("ix_traces_tenant_created", "tenant", "created_at", "id"),
        Index("ix_traces_stage_created", "stage", "created_at", "id"),
        Index("ix_traces_question", "question_id"),
    )

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    tenant: Mapped[str] = mapped_column(String(128))
    question_id: Mapped[str] = mapped_column(String(64))
    stage: Mapped[str] = mapped_column(String(16))
    created_at: Mapped[datetime]
    config_version: Mapped[str] = mapped_column(String(64))
    tier: Mapped[str]
    model: Mapped[str]
    # whose labels the question was asked with; NULL: every one
    labels: Mapped[Labels | None] = mapped_column(LabelsText)
    task: Mapped[dict[str, Any]] = mapped_column(JSON)
    result: Mapped[dict[str, Any]] = mapped_column(JSON)
    replies: Mapped[list[Any]] = mapped_column(JSON)
    parse: Mapped[str] = mapped_column(String(16))
    fallback: Mapped[str]
    scores: Mapped[dict[str, Any]] = mapped_column(JSON)


class TraceDocumentRow(Base):
    """A document whose text a record holds: with the document the record goes."""

    __tablename__ = "trace_documents"
    __table_args__ = (Index("ix_trace_documents_document", "document_id"),)

    trace_id: Mapped[str] = mapped_column(ForeignKey("traces.id", ondelete="CASCADE"), primary_key=True)
    document_id: Mapped[str] = mapped_column(String(64), primary_key=True)


class TraceLabelRow(Base):
    """What a teacher replied to the same input."""

    __tablename__ = "trace_labels"

    trace_id: Mapped[str] = mapped_column(ForeignKey("traces.id", ondelete="CASCADE"), primary_key=True)
    tier: Mapped[str] = mapped_column(String(255), primary_key=True)
    model: Mapped[str]
    value: Mapped[dict[str, Any]] = mapped_column(JSON)
    cost_usd: Mapped[float | None] = mapped_column(Float)
    created_at: Mapped[datetime]


class HeadRow(Base):
    """A version of a head. The one that is accepted is live; there is one at most of each name."""

    __tablename__ = "heads"
    __table_args__ = (Index("ix_heads_status", "status"), Index("ix_heads_blob", "blob_key"))

    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    version: Mapped[str] = mapped_column(String(128), primary_key=True)
    parent: Mapped[str | None] = mapped_column(String(128))
    sha256: Mapped[str] = mapped_column(String(64))
    blob_key: Mapped[str] = mapped_column(String(255))
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    figures: Mapped[dict[str, Any]] = mapped_column(JSON)
    status: Mapped[str] = mapped_column(String(16))
    created_at: Mapped[datetime]
    accepted_at: Mapped[datetime | None]
