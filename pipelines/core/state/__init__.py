"""The state database: documents, jobs, batches, keys, workers, receipts, traces and heads, in SQLite or PostgreSQL."""

from pipelines.core.state.batch_records import NewQuestion, QuestionItem, QuestionResult
from pipelines.core.state.batches import Batches
from pipelines.core.state.database import Database, sqlite_url
from pipelines.core.state.fleet import Fleet, Worker
from pipelines.core.state.heads import HeadStatus, HeadVersion, HeadVersions
from pipelines.core.state.jobs import ANSWERS, digest
from pipelines.core.state.keys import ApiKey, Keys
from pipelines.core.state.leases import Leases
from pipelines.core.state.ledger import Ledger
from pipelines.core.state.owners import owner_id
from pipelines.core.state.progress import Progress
from pipelines.core.state.receipts import Receipts
from pipelines.core.state.records import (
    AnswerRecord,
    Counts,
    Deletion,
    Document,
    DocumentStatus,
    ItemState,
    ItemStatus,
    Job,
    JobItem,
    JobState,
    JobStatus,
    Once,
    Page,
    QuestionStatus,
    Submission,
    WorkItem,
)
from pipelines.core.state.reindexes import Reindexed, Reindexes, Reindexing, Standing
from pipelines.core.state.retention import Retention
from pipelines.core.state.source_records import (
    ReadFile,
    SeenFile,
    Source,
    SourceStatus,
    SyncEndedError,
    SyncItem,
)
from pipelines.core.state.sources import Sources
from pipelines.core.state.traces import Parse, TeacherLabel, Trace, TracedStage, TraceFilter, Traces

__all__ = [
    "ANSWERS",
    "AnswerRecord",
    "ApiKey",
    "Batches",
    "Counts",
    "Database",
    "Deletion",
    "Document",
    "DocumentStatus",
    "Fleet",
    "HeadStatus",
    "HeadVersion",
    "HeadVersions",
    "ItemState",
    "ItemStatus",
    "Job",
    "JobItem",
    "JobState",
    "JobStatus",
    "Keys",
    "Leases",
    "Ledger",
    "NewQuestion",
    "Once",
    "Page",
    "Parse",
    "Progress",
    "QuestionItem",
    "QuestionResult",
    "QuestionStatus",
    "ReadFile",
    "Receipts",
    "Reindexed",
    "Reindexes",
    "Reindexing",
    "Retention",
    "SeenFile",
    "Source",
    "SourceStatus",
    "Sources",
    "Standing",
    "Submission",
    "SyncEndedError",
    "SyncItem",
    "TeacherLabel",
    "Trace",
    "TraceFilter",
    "TracedStage",
    "Traces",
    "WorkItem",
    "Worker",
    "digest",
    "owner_id",
    "sqlite_url",
]
