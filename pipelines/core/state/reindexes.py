"""The record of reindexes: what a shadow holds already, and which collections were replaced.

Only one reindex of a collection runs at a time: its lease stands on the live collection. What the shadow lacks is not
remembered but asked: every document whose published version is not the one that the shadow's was made from. So a
reindex may be killed at any moment and run again, and nothing depends on clocks or on the order of events.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum, auto
from typing import TypeVar

from sqlalchemy import ColumnElement, ScalarSelect, Select, Update, and_, delete, func, select, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from pipelines.core.errors import ConflictError
from pipelines.core.state import queries
from pipelines.core.state.clock import Clock, utc_now
from pipelines.core.state.database import Database
from pipelines.core.state.owners import is_dead, owner_id
from pipelines.core.state.records import Document, DocumentStatus
from pipelines.core.state.storable import clean
from pipelines.core.state.tables import BuildRow, DocumentRow, ReindexedRow

T = TypeVar("T")

SOME = 5000
"""Documents handed over in one statement."""


class Standing(Enum):
    """Whether a collection may be published into: yes, in a moment, never again."""

    LIVE = auto()
    HELD = auto()
    RETIRED = auto()


@dataclass(frozen=True, slots=True)
class Reindexing:
    """A reindex that has its lease.

    Attributes:
        build: The live collection, to be replaced.
        shadow: What an earlier reindex left, prepared in the same way, to be taken up again.
        retired: The documents were handed over to `shadow` already, which has to go live.
    """

    build: str
    token: str
    shadow: str | None
    retired: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Reindexed:
    """A document as the shadow holds it. `source_version` is the published version that it was made from."""

    document_id: str
    source_version: str
    version: str
    passages: int
    title: str
    text_key: str | None


class Reindexes:
    """The record, in the state database. Every method may raise `StateUnavailableError`."""

    def __init__(self, database: Database, clock: Clock = utc_now) -> None:
        self._database, self._clock = database, clock

    def standing(self, build: str) -> Standing:
        """Whether a collection may be published into."""
        with self._database.read() as session:
            row = session.get(BuildRow, build)
            if row is None:
                return Standing.LIVE
            if row.retired_at is not None:
                return Standing.RETIRED
            return Standing.HELD if row.held_until is not None and row.held_until > self._clock() else Standing.LIVE

    # --- Life ------------------------------------------------------------------------------------------------------

    def begin(self, build: str, preparation: str, lease_s: float) -> Reindexing:
        """Takes the lease.

        Args:
            preparation: Names how documents are prepared; what another reindex left is taken up where it is the same.

        Raises:
            ConflictError: another reindex runs.
        """
        with self._database.write() as session:
            now = self._clock()
            row = session.get(BuildRow, build, with_for_update=True)
            if row is None:
                row = BuildRow(id=build)
                session.add(row)
            elif row.lease_owner and row.lease_until and row.lease_until > now and not is_dead(row.lease_owner):
                raise ConflictError(f"A reindex is running already, in process {row.lease_owner}.")
            row.lease_token, row.lease_owner = uuid.uuid4().hex, owner_id()
            row.lease_until, row.held_until = now + timedelta(seconds=lease_s), None
            if row.preparation != preparation and row.retired_at is None:
                row.shadow, row.preparation = None, preparation
            return Reindexing(build, row.lease_token, row.shadow, row.retired_at is not None)

    def attach(self, run: Reindexing, shadow: str) -> None:
        """Names the shadow, and forgets what is known of any other. A collection that was retired for it is live."""
        with self._database.write() as session:
            row = self._held(session, run)
            row.shadow, row.retired_at = shadow, None
            session.execute(delete(ReindexedRow).where(ReindexedRow.build != shadow))

    def extend(self, run: Reindexing, lease_s: float) -> None:
        """Prolongs the lease.

        Raises:
            ConflictError: the lease was lost.
        """
        with self._database.write() as session:
            self._held(session, run).lease_until = self._clock() + timedelta(seconds=lease_s)

    def hold(self, run: Reindexing, hold_s: float) -> None:
        """For so long nothing is to be published into the live collection, see `standing`; 0 ends it.

        Raises:
            ConflictError: the lease was lost.
        """
        with self._database.write() as session:
            self._held(session, run).held_until = self._clock() + timedelta(seconds=hold_s)

    def swap(self, run: Reindexing, shadow: str) -> bool:
        """Retires the live collection and lets documents be as the shadow holds them, all at once.

        From here on no worker can record anything of the old collection.

        Returns:
            `False`, and nothing has changed, when the shadow lacks something.
        """
        with self._database.write() as session:
            row = self._held(session, run)
            lacking = select(_outstanding(shadow).exists()), select(_gone(shadow).exists())
            if any(session.scalar(each) for each in lacking):
                return False
            row.retired_at, row.held_until = self._clock(), None
            after = ""
            while ids := session.scalars(_ids(shadow).where(ReindexedRow.document_id > after).limit(SOME)).all():
                theirs = select(DocumentRow.id).where(DocumentRow.id > after, DocumentRow.id <= ids[-1])
                # In the order of `document_rows.locked`.
                session.execute(theirs.order_by(DocumentRow.id).with_for_update())
                session.execute(_hand_over(shadow, after, ids[-1]))
                after = ids[-1]
            return True

    def end(self, run: Reindexing) -> None:
        """Gives the lease back; what the shadow holds is forgotten once it is live."""
        with self._database.write() as session:
            row = session.get(BuildRow, run.build, with_for_update=True)
            if row is None or row.lease_token != run.token:
                return
            row.lease_token = row.lease_owner = row.lease_until = row.held_until = None

    def forget(self, run: Reindexing) -> None:
        """Forgets what the shadow holds: it is live."""
        with self._database.write() as session:
            self._held(session, run).shadow = None
            session.execute(delete(ReindexedRow))

    # --- Documents -------------------------------------------------------------------------------------------------

    def outstanding(self, shadow: str, *, after: str = "", limit: int = 100) -> list[Document]:
        """Documents in the index that the shadow lacks, or holds an older version of, in the order of ids."""
        with self._database.read() as session:
            statement = _outstanding(shadow).where(DocumentRow.id > after).order_by(DocumentRow.id).limit(limit)
            return [queries.document(row) for row in session.scalars(statement)]

    def count(self, shadow: str) -> int:
        """How many are outstanding."""
        with self._database.read() as session:
            return session.scalar(_outstanding(shadow).with_only_columns(func.count(DocumentRow.id))) or 0

    def record(self, shadow: str, done: Reindexed) -> None:
        """Records that the shadow shows a document."""
        with self._database.write() as session:
            session.merge(
                ReindexedRow(
                    build=shadow,
                    document_id=done.document_id,
                    source_version=done.source_version,
                    version=done.version,
                    passages=done.passages,
                    title=clean(done.title),
                    text_key=done.text_key,
                )
            )

    def gone(self, shadow: str, *, limit: int = 100) -> list[str]:
        """Ids of documents that the shadow holds and that are not in the index any more."""
        with self._database.read() as session:
            return list(session.scalars(_gone(shadow).limit(limit)))

    def drop(self, shadow: str, ids: Sequence[str]) -> None:
        """Records that the shadow does not hold these any more."""
        with self._database.write() as session:
            session.execute(delete(ReindexedRow).where(ReindexedRow.build == shadow, ReindexedRow.document_id.in_(ids)))

    def _held(self, session: Session, run: Reindexing) -> BuildRow:
        row = session.get(BuildRow, run.build, with_for_update=True)
        if row is None or row.lease_token != run.token:
            raise ConflictError("Another reindex has taken over: this one was not heard of for too long.")
        return row


def is_retired(session: Session, build: str) -> bool:
    """Whether a collection was replaced. Holds a replacement off until the transaction ends."""
    row = session.get(BuildRow, build, with_for_update={"read": True})
    return row is not None and row.retired_at is not None


def _in_index() -> ColumnElement[bool]:
    return and_(DocumentRow.version.is_not(None), DocumentRow.status != DocumentStatus.DELETING)


def _held_as(shadow: str, column: InstrumentedAttribute[T]) -> ScalarSelect[T]:
    """What a shadow holds of a document; NULL where it does not.

    One look-up a document and no join: without statistics, as after many inserts, PostgreSQL joined 100,000 documents
    by comparing each with each, and did not come to an end.
    """
    mine = and_(ReindexedRow.build == shadow, ReindexedRow.document_id == DocumentRow.id)
    return select(column).where(mine).correlate(DocumentRow).scalar_subquery()


def _outstanding(shadow: str) -> Select[DocumentRow]:
    made_from = _held_as(shadow, ReindexedRow.source_version)
    return select(DocumentRow).where(_in_index(), made_from.is_distinct_from(DocumentRow.version))


def _ids(shadow: str) -> Select[str]:
    return select(ReindexedRow.document_id).where(ReindexedRow.build == shadow).order_by(ReindexedRow.document_id)


def _gone(shadow: str) -> Select[str]:
    there = select(DocumentRow.id).where(DocumentRow.id == ReindexedRow.document_id, _in_index())
    return _ids(shadow).where(there.correlate(ReindexedRow).scalar_subquery().is_(None))


def _hand_over(shadow: str, after: str, last: str) -> Update:
    """Sets documents to what the shadow holds. Some at a time: the wait for one statement is bounded."""
    fields = (ReindexedRow.version, ReindexedRow.passages, ReindexedRow.title, ReindexedRow.text_key)
    return (
        update(DocumentRow)
        .where(DocumentRow.id > after, DocumentRow.id <= last, _held_as(shadow, ReindexedRow.version).is_not(None))
        .values({field.key: _held_as(shadow, field) for field in fields} | {"version_uncertain": False})
        .execution_options(synchronize_session=False)
    )
