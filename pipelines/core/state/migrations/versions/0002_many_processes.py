"""Many processes: API keys and access labels, batches of questions, sources, workers."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ("documents", "job_items"):
        op.add_column(table, sa.Column("labels", sa.Text(), nullable=False, server_default=""))
    for table in ("jobs", "receipts"):
        op.add_column(table, sa.Column("labels", sa.Text(), nullable=True))
    op.drop_index("ix_documents_status_queued", "documents")
    op.create_index("ix_documents_queue", "documents", ["status", "queued_at", "id"], unique=False)
    op.create_index("ix_receipts_created", "receipts", ["created_at"], unique=False)
    op.add_column("jobs", sa.Column("idempotency_key", sa.String(length=255), nullable=True))
    op.add_column("jobs", sa.Column("request_sha256", sa.String(length=64), nullable=True))
    op.create_index("uq_jobs_idempotency", "jobs", ["tenant", "idempotency_key"], unique=True)
    # the default is for rows that are there: they changed long ago
    epoch = sa.text("'1970-01-01 00:00:00.000000'")
    op.add_column(
        "job_items", sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False, server_default=epoch)
    )
    op.create_index("ix_job_items_changed", "job_items", ["job_id", "updated_at", "ordinal"], unique=False)
    op.create_index("ix_job_items_status", "job_items", ["job_id", "status"], unique=False)
    op.create_table(
        "api_keys",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("secret_sha256", sa.String(length=64), nullable=False),
        sa.Column("tenant", sa.String(length=128), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("labels", sa.Text(), nullable=True),
        sa.Column("rate_per_minute", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_api_keys_tenant", "api_keys", ["tenant", "created_at"], unique=False)
    op.create_table(
        "batch_questions",
        sa.Column("job_id", sa.String(length=64), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("custom_id", sa.String(length=255), nullable=True),
        sa.Column("question", sa.JSON(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("answer", sa.JSON(), nullable=True),
        sa.Column("error_code", sa.String(length=64), nullable=True),
        sa.Column("error_detail", sa.Text(), nullable=True),
        sa.Column("queued_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("not_before", sa.DateTime(timezone=True), nullable=True),
        *_lease(),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "ordinal"),
    )
    op.create_index("ix_batch_questions_due", "batch_questions", ["status", "queued_at"], unique=False)
    op.create_index("ix_batch_questions_status", "batch_questions", ["job_id", "status"], unique=False)
    op.create_index("ix_batch_questions_lease", "batch_questions", ["lease_until"], unique=False)
    op.create_table(
        "sources",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("tenant", sa.String(length=128), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("url_sha256", sa.String(length=64), nullable=False),
        sa.Column("labels", sa.Text(), nullable=False),
        sa.Column("metadata", sa.JSON(), nullable=False),
        sa.Column("keep_deleted", sa.Boolean(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("job_id", sa.String(length=64), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("listed", sa.Integer(), nullable=False),
        sa.Column("added", sa.Integer(), nullable=False),
        sa.Column("changed", sa.Integer(), nullable=False),
        sa.Column("deleted", sa.Integer(), nullable=False),
        sa.Column("error_code", sa.String(length=64), nullable=True),
        sa.Column("error_detail", sa.Text(), nullable=True),
        sa.Column("queued_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("not_before", sa.DateTime(timezone=True), nullable=True),
        *_lease(),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("synced_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("uq_sources_tenant_url", "sources", ["tenant", "url_sha256"], unique=True)
    op.create_index("ix_sources_due", "sources", ["status", "queued_at"], unique=False)
    op.create_table(
        "source_files",
        sa.Column("source_id", sa.String(length=64), nullable=False),
        sa.Column("path_sha256", sa.String(length=64), nullable=False),
        sa.Column("parent_sha256", sa.String(length=64), nullable=True),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("mark", sa.String(length=64), nullable=False),
        sa.Column("document_id", sa.String(length=64), nullable=True),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["source_id"], ["sources.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("source_id", "path_sha256"),
    )
    op.create_index("ix_source_files_generation", "source_files", ["source_id", "generation"], unique=False)
    op.create_index("ix_source_files_parent", "source_files", ["source_id", "parent_sha256"], unique=False)
    op.create_index("ix_source_files_document", "source_files", ["document_id"], unique=False)
    op.create_table(
        "turns",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("place", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "index_builds",
        sa.Column("id", sa.String(length=255), nullable=False),
        sa.Column("shadow", sa.String(length=255), nullable=True),
        sa.Column("preparation", sa.String(length=64), nullable=True),
        *_lease(),
        sa.Column("held_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("retired_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "reindexed_documents",
        sa.Column("build", sa.String(length=255), nullable=False),
        sa.Column("document_id", sa.String(length=64), nullable=False),
        sa.Column("source_version", sa.String(length=128), nullable=False),
        sa.Column("version", sa.String(length=128), nullable=False),
        sa.Column("passages", sa.Integer(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("text_key", sa.String(length=255), nullable=True),
        sa.PrimaryKeyConstraint("build", "document_id"),
    )
    op.create_index("ix_reindexed_documents_text", "reindexed_documents", ["text_key"], unique=False)
    op.create_table(
        "workers",
        sa.Column("id", sa.String(length=255), nullable=False),
        sa.Column("roles", sa.JSON(), nullable=False),
        sa.Column("busy", sa.JSON(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_workers_seen", "workers", ["seen_at"], unique=False)


def _lease() -> tuple[sa.Column[Any], ...]:
    return (
        sa.Column("lease_token", sa.String(length=64), nullable=True),
        sa.Column("lease_owner", sa.String(length=255), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
    )


def downgrade() -> None:
    for table in (
        "workers",
        "reindexed_documents",
        "index_builds",
        "turns",
        "source_files",
        "sources",
        "batch_questions",
        "api_keys",
    ):
        op.drop_table(table)
    op.drop_index("uq_jobs_idempotency", "jobs")
    op.drop_index("ix_receipts_created", "receipts")
    op.drop_index("ix_documents_queue", "documents")
    op.create_index("ix_documents_status_queued", "documents", ["status", "queued_at"], unique=False)
    for index in ("ix_job_items_changed", "ix_job_items_status"):
        op.drop_index(index, "job_items")
    op.drop_column("job_items", "updated_at")
    for column in ("request_sha256", "idempotency_key"):
        op.drop_column("jobs", column)
    for table in ("receipts", "jobs", "job_items", "documents"):
        op.drop_column(table, "labels")
