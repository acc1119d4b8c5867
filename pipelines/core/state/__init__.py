"""The state database: documents, jobs and receipts, in SQLite or PostgreSQL."""

from pipelines.core.state.database import Database, sqlite_url
from pipelines.core.state.keys import ApiKey, Keys
from pipelines.core.state.ledger import Ledger
from pipelines.core.state.owners import owner_id
from pipelines.core.state.records import (
    AnswerRecord,
    Counts,
    Deletion,
    Document,
    DocumentStatus,
    ItemStatus,
    Job,
    JobItem,
    JobStatus,
    Page,
    Submission,
    WorkItem,
)

__all__ = [
    "AnswerRecord",
    "ApiKey",
    "Counts",
    "Database",
    "Deletion",
    "Document",
    "DocumentStatus",
    "ItemStatus",
    "Job",
    "JobItem",
    "JobStatus",
    "Keys",
    "Ledger",
    "Page",
    "Submission",
    "WorkItem",
    "owner_id",
    "sqlite_url",
]
