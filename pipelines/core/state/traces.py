"""Records of the small stages, kept with consent to train and compare models with, and a teacher's word on them."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import ColumnElement, Select, delete, func, select, tuple_
from sqlalchemy.orm import Session

from pipelines.core.access import Labels
from pipelines.core.state.clock import Clock, utc_now
from pipelines.core.state.cursors import decode, encode
from pipelines.core.state.database import Database
from pipelines.core.state.learning_tables import TraceDocumentRow, TraceLabelRow, TraceRow
from pipelines.core.state.records import DocumentStatus, Page
from pipelines.core.state.tables import DocumentRow

TracedStage = Literal["plan", "prune", "cite"]
Parse = Literal["none", "ok", "retried", "failed"]
"""`none`: no language model was asked; `retried`: only the second reply was of the schema; `failed`: neither was."""

PAGE = 50
"""Records read at a time: one may hold hundreds of passages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """What a small stage was given and gave back.

    Attributes:
        id: The same for the same task of the same question: a task that was sent to two workers is recorded once.
        question_id: Of the question's answer.
        tier, model: As in the stage's receipt.
        labels: Access labels that the question was asked with; `None` held every one.
        task, result: The stage's typed input and output, as JSON.
        replies: What language models wrote, word for word, what could not be read too; see `ModelReply`.
        fallback: Why another way than the configured one was taken; empty when it was not.
        scores: What code says of the result: how far citations are supported, how sufficient the evidence is.
        document_ids: Documents whose text it holds. For `Traces.record`; empty in what is read.
    """

    id: str
    tenant: str
    question_id: str
    stage: TracedStage
    created_at: datetime
    config_version: str
    tier: str
    model: str
    labels: Labels | None
    task: dict[str, Any]
    result: dict[str, Any]
    replies: list[dict[str, Any]]
    parse: Parse
    fallback: str = ""
    scores: dict[str, Any]
    document_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TeacherLabel:
    """What a teacher replied to a recorded input, by the stage's own schema."""

    tier: str
    model: str
    value: dict[str, Any]
    cost_usd: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceFilter:
    """Which records; what is left out is any."""

    tenant: str | None = None
    stage: TracedStage | None = None
    question_id: str | None = None

    @property
    def conditions(self) -> list[ColumnElement[bool]]:
        """What a row must meet."""
        given = ((TraceRow.tenant, self.tenant), (TraceRow.stage, self.stage), (TraceRow.question_id, self.question_id))
        return [column == value for column, value in given if value is not None]


class Traces:
    """Records in the state database. Safe to share between threads and processes.

    Every method may raise `StateUnavailableError`.

    Args:
        clock: Gives aware times.
    """

    def __init__(self, database: Database, *, clock: Clock = utc_now) -> None:
        self._database, self._clock = database, clock

    def record(self, traces: Sequence[Trace]) -> int:
        """Keeps records; returns how many.

        Not kept: one that is there already, and one with text of a document that is deleted, or about to be.
        """
        with self._database.write() as session:
            kept = _standing(session, {document for trace in traces for document in trace.document_ids})
            fresh = {trace.id: trace for trace in traces if kept.issuperset(trace.document_ids)}
            for known in session.scalars(select(TraceRow.id).where(TraceRow.id.in_(fresh))).all():
                del fresh[known]
            session.add_all(map(_row, fresh.values()))
            session.flush()
            session.add_all(
                TraceDocumentRow(trace_id=trace.id, document_id=document)
                for trace in fresh.values()
                for document in sorted(set(trace.document_ids))
            )
            return len(fresh)

    def page(self, which: TraceFilter, *, limit: int = PAGE, cursor: str | None = None) -> Page[Trace]:
        """Records, oldest first; pass `next_cursor` for the next page.

        Raises:
            InvalidRequestError: the cursor is not one of ours.
        """
        with self._database.read() as session:
            rows = session.scalars(_after(select(TraceRow).where(*which.conditions), cursor).limit(limit + 1)).all()
            last = encode(rows[limit - 1].created_at, rows[limit - 1].id) if len(rows) > limit else None
            return Page(tuple(map(_trace, rows[:limit])), last)

    def counts(self, which: TraceFilter) -> dict[tuple[str, str], int]:
        """How many there are by stage and parse status."""
        statement = (
            select(TraceRow.stage, TraceRow.parse, func.count())
            .where(*which.conditions)
            .group_by(TraceRow.stage, TraceRow.parse)
        )
        with self._database.read() as session:
            return {(stage, parse): number for stage, parse, number in session.execute(statement)}

    def delete(self, which: TraceFilter, *, limit: int = 500) -> int:
        """Removes some records, with their labels; returns how many: call it until there are none."""
        with self._database.write() as session:
            ids = session.scalars(select(TraceRow.id).where(*which.conditions).limit(limit)).all()
            session.execute(delete(TraceRow).where(TraceRow.id.in_(ids)))
            return len(ids)

    # --- A teacher's labels ----------------------------------------------------------------------------------------

    def unlabelled(self, which: TraceFilter, tier: str) -> Iterator[Trace]:
        """Records that this teacher has not labelled, oldest first; what comes meanwhile may be left out."""
        labelled = select(TraceLabelRow.tier).where(TraceLabelRow.trace_id == TraceRow.id, TraceLabelRow.tier == tier)
        statement = select(TraceRow).where(*which.conditions, ~labelled.exists())
        cursor: str | None = None
        while True:
            with self._database.read() as session:
                found = [_trace(row) for row in session.scalars(_after(statement, cursor).limit(PAGE))]
            yield from found
            if len(found) < PAGE:
                return
            cursor = encode(found[-1].created_at, found[-1].id)

    def label(self, trace_id: str, label: TeacherLabel) -> bool:
        """Keeps what a teacher replied, in place of what the same one replied before.

        Returns:
            `False` when the record was removed meanwhile.
        """
        with self._database.write() as session:
            if session.get(TraceRow, trace_id, with_for_update={"read": True, "key_share": True}) is None:
                return False
            session.merge(
                TraceLabelRow(
                    trace_id=trace_id,
                    tier=label.tier,
                    model=label.model,
                    value=label.value,
                    cost_usd=label.cost_usd,
                    created_at=self._clock(),
                )
            )
            return True

    def labelled(self, which: TraceFilter, tier: str | None = None) -> Iterator[tuple[Trace, TeacherLabel]]:
        """Records with a teacher's label, oldest first: the newest one, unless `tier` names the teacher."""
        cursor: str | None = None
        while True:
            page = self.page(which, cursor=cursor)
            labels = self._labels([trace.id for trace in page.items], tier)
            for trace in page.items:
                if trace.id in labels:
                    yield trace, labels[trace.id]
            if page.next_cursor is None:
                return
            cursor = page.next_cursor

    def label_counts(self, which: TraceFilter) -> dict[tuple[str, str], int]:
        """How many labels there are by stage and teacher."""
        statement = (
            select(TraceRow.stage, TraceLabelRow.tier, func.count())
            .join(TraceLabelRow, TraceLabelRow.trace_id == TraceRow.id)
            .where(*which.conditions)
            .group_by(TraceRow.stage, TraceLabelRow.tier)
        )
        with self._database.read() as session:
            return {(stage, tier): number for stage, tier, number in session.execute(statement)}

    def _labels(self, ids: Sequence[str], tier: str | None) -> dict[str, TeacherLabel]:
        statement = select(TraceLabelRow).where(TraceLabelRow.trace_id.in_(ids))
        if tier is not None:
            statement = statement.where(TraceLabelRow.tier == tier)
        with self._database.read() as session:
            rows = session.scalars(statement.order_by(TraceLabelRow.created_at, TraceLabelRow.tier)).all()
            return {
                row.trace_id: TeacherLabel(tier=row.tier, model=row.model, value=row.value, cost_usd=row.cost_usd)
                for row in rows
            }


def forget_document(session: Session, document_id: str) -> None:
    """Removes all that was recorded of questions that found a document. Its row is to be locked already."""
    holding = (
        select(TraceRow.question_id)
        .join(TraceDocumentRow, TraceDocumentRow.trace_id == TraceRow.id)
        .where(TraceDocumentRow.document_id == document_id)
    )
    session.execute(delete(TraceRow).where(TraceRow.question_id.in_(session.scalars(holding).all())))


def _standing(session: Session, documents: Iterable[str]) -> frozenset[str]:
    """Those of the documents that nobody deletes, now and until the transaction ends."""
    statement = (
        select(DocumentRow.id)
        .where(DocumentRow.id.in_(sorted(documents)), DocumentRow.status != DocumentStatus.DELETING)
        .order_by(DocumentRow.id)
        .with_for_update(read=True, key_share=True)
    )
    return frozenset(session.scalars(statement).all())


def _after(statement: Select[Any], cursor: str | None) -> Select[Any]:
    if cursor is not None:
        statement = statement.where(tuple_(TraceRow.created_at, TraceRow.id) > tuple_(*decode(cursor)))
    return statement.order_by(TraceRow.created_at, TraceRow.id)


_FIELDS = (
    "id", "tenant", "question_id", "stage", "created_at", "config_version", "tier", "model", "labels", "task", "result",
    "replies", "parse", "fallback", "scores",
)  # fmt: skip


def _row(trace: Trace) -> TraceRow:
    return TraceRow(**{name: getattr(trace, name) for name in _FIELDS})


def _trace(row: TraceRow) -> Trace:
    return Trace(**{name: getattr(row, name) for name in _FIELDS})
