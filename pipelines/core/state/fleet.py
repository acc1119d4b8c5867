"""The workers that were heard of lately: who could take work, and why nobody does."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from pipelines.core.settings import Role
from pipelines.core.state.clock import Clock, utc_now
from pipelines.core.state.database import Database
from pipelines.core.state.owners import is_dead, owner_id
from pipelines.core.state.tables import WorkerRow

HEARD_S = 30.0
"""A worker that was not heard of for so long counts as gone. It should be heard of every few seconds."""

FORGET_S = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """A worker process.

    Attributes:
        id: Its `owner_id`, as on the leases that it holds.
        busy: Those of its roles in which it is at work, so that new work waits.
    """

    id: str
    roles: tuple[str, ...]
    busy: tuple[str, ...]
    started_at: datetime
    seen_at: datetime


class Fleet:
    """Worker processes, each heard of by itself. Safe to share between threads and processes.

    Every method may raise `StateUnavailableError`. Clocks are compared: machines must agree to within a few seconds.

    Args:
        clock: Gives aware times.
    """

    def __init__(self, database: Database, *, clock: Clock = utc_now) -> None:
        self._database, self._clock = database, clock

    def beat(self, roles: Iterable[Role], busy: Iterable[Role] = (), *, worker: str | None = None) -> None:
        """Says that a worker lives; call it every few seconds, and at once when `busy` changes.

        Args:
            roles: What it does; the last beat counts.
            busy: Those of them in which it is at work.
            worker: Its id; this process by default.
        """
        now = self._clock()
        with self._database.write() as session:
            row = session.get(WorkerRow, worker or owner_id())
            if row is None:
                self._forget(session, now)
                row = WorkerRow(id=worker or owner_id(), started_at=now)
            row.roles, row.busy, row.seen_at = sorted(set(roles)), sorted(set(busy)), now
            session.add(row)

    def gone(self, *, worker: str | None = None) -> None:
        """Says that a worker ends. Idempotent."""
        with self._database.write() as session:
            session.execute(delete(WorkerRow).where(WorkerRow.id == (worker or owner_id())))

    def workers(self, role: Role | None = None) -> list[Worker]:
        """Workers that live, as far as is known: of one role, or all."""
        with self._database.read() as session:
            return heard(session, self._clock(), role)

    @staticmethod
    def _forget(session: Session, now: datetime) -> None:
        """Removes the rows of workers that were killed; called when one starts, which is seldom."""
        session.execute(delete(WorkerRow).where(WorkerRow.seen_at < now - timedelta(seconds=FORGET_S)))


def heard(session: Session, now: datetime, role: Role | None = None) -> list[Worker]:
    """Workers that were heard of within `HEARD_S`, without those of this host that are known to be dead."""
    statement = select(WorkerRow).where(WorkerRow.seen_at >= now - timedelta(seconds=HEARD_S)).order_by(WorkerRow.id)
    return [
        Worker(id=row.id, roles=tuple(row.roles), busy=tuple(row.busy), started_at=row.started_at, seen_at=row.seen_at)
        for row in session.scalars(statement)
        if (role is None or role in row.roles) and not is_dead(row.id)
    ]


def why_waiting(session: Session, now: datetime, role: Role) -> str | None:
    """Why queued work of a role is not taken; `None` where some worker is free to take it."""
    workers = heard(session, now, role)
    if not workers:
        return f"No {role} worker is running."
    if not all(role in worker.busy for worker in workers):
        return None
    return f"All {len(workers)} {role} workers are busy." if len(workers) > 1 else f"The one {role} worker is busy."
