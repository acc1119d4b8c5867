"""Versions of the heads: which there are, which one is live, and which one was before."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from pipelines.core.errors import ConflictError, NotFoundError
from pipelines.core.state.clock import Clock, utc_now
from pipelines.core.state.database import Database
from pipelines.core.state.learning_tables import HeadRow


class HeadStatus(StrEnum):
    """`accepted`: live. `candidate`: made, not judged; `rejected`: judged no better; `retired`: was live."""

    CANDIDATE = "candidate"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    RETIRED = "retired"


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadVersion:
    """A version of a head.

    Attributes:
        parent: The version that it was trained from; `None` where that is the one that comes with Strata.
        sha256: Of its packed folder, which is the blob `blob_key`.
        figures: What it was measured with, as its training wrote it.
    """

    name: str
    version: str
    parent: str | None = None
    sha256: str
    blob_key: str
    size_bytes: int
    figures: Mapping[str, Any]
    status: HeadStatus
    created_at: datetime
    accepted_at: datetime | None = None


class HeadVersions:
    """The register of heads. Safe to share between threads and processes.

    Every method may raise `StateUnavailableError`. Nothing is ever removed: a process may still work with it.

    Args:
        clock: Gives aware times.
    """

    def __init__(self, database: Database, *, clock: Clock = utc_now) -> None:
        self._database, self._clock = database, clock

    def add(
        self,
        name: str,
        version: str,
        *,
        sha256: str,
        blob_key: str,
        size_bytes: int,
        figures: Mapping[str, Any],
        parent: str | None = None,
    ) -> HeadVersion:
        """Enters a candidate whose blob is stored. The same again changes nothing.

        Raises:
            ConflictError: there is another head of that name and version.
        """
        with self._database.write() as session:
            row = session.get(HeadRow, (name, version))
            if row is None:
                row = HeadRow(
                    name=name,
                    version=version,
                    parent=parent,
                    sha256=sha256,
                    blob_key=blob_key,
                    size_bytes=size_bytes,
                    figures=dict(figures),
                    status=HeadStatus.CANDIDATE,
                    created_at=self._clock(),
                )
                session.add(row)
            elif row.sha256 != sha256:
                raise ConflictError(f"There is another version {version} of the head {name}.")
            return _version(row)

    def versions(self, name: str | None = None) -> list[HeadVersion]:
        """All versions, oldest first, of one head or of all."""
        statement = select(HeadRow).order_by(HeadRow.name, HeadRow.created_at, HeadRow.version)
        if name is not None:
            statement = statement.where(HeadRow.name == name)
        with self._database.read() as session:
            return [_version(row) for row in session.scalars(statement)]

    def get(self, name: str, version: str) -> HeadVersion:
        """One version.

        Raises:
            NotFoundError: there is none.
        """
        with self._database.read() as session:
            return _version(_found(session, name, version))

    def live(self) -> dict[str, HeadVersion]:
        """The accepted version of each head that has one; of the others the one that comes with Strata is live."""
        with self._database.read() as session:
            rows = session.scalars(select(HeadRow).where(HeadRow.status == HeadStatus.ACCEPTED)).all()
            return {row.name: _version(row) for row in rows}

    def accept(self, name: str, version: str, *, as_better: bool = False) -> HeadVersion:
        """Makes a version live in the place of the one that is. Accepting the live one changes nothing.

        Args:
            as_better: Because it was judged better than the version that it was trained from.

        Raises:
            NotFoundError: there is none.
            ConflictError: as the better one, and another version than that has become live meanwhile.
        """
        with self._database.write() as session:
            _lock(session, name)
            row = _found(session, name, version)
            if as_better and _live(session, name) not in (row.parent, version):
                raise ConflictError(
                    f"The head {name} {version} was judged beside a version that is not live any more; train again."
                )
            if row.status != HeadStatus.ACCEPTED:
                self._retire(session, name)
                row.status, row.accepted_at = HeadStatus.ACCEPTED, self._clock()
            return _version(row)

    def reject(self, name: str, version: str) -> HeadVersion:
        """Says that a candidate was judged no better.

        Raises:
            NotFoundError: there is none.
            ConflictError: it is or was live.
        """
        with self._database.write() as session:
            _lock(session, name)
            row = _found(session, name, version)
            if row.status not in (HeadStatus.CANDIDATE, HeadStatus.REJECTED):
                raise ConflictError(f"The head {name} {version} is {row.status}, no candidate.")
            row.status = HeadStatus.REJECTED
            return _version(row)

    def roll_back(self, name: str) -> HeadVersion | None:
        """Puts back the version that was live before the one that is.

        Returns:
            The version that is live now; `None`: the one that comes with Strata.

        Raises:
            NotFoundError: no version is accepted, so there is nothing to go back from.
        """
        with self._database.write() as session:
            _lock(session, name)
            live = session.scalars(
                select(HeadRow).where(HeadRow.name == name, HeadRow.status == HeadStatus.ACCEPTED)
            ).first()
            if live is None:
                raise NotFoundError(f"No version of the head {name} was accepted; there is nothing to go back from.")
            before = session.scalars(
                select(HeadRow)
                .where(
                    HeadRow.name == name,
                    HeadRow.status == HeadStatus.RETIRED,
                    HeadRow.accepted_at < live.accepted_at,
                )
                .order_by(HeadRow.accepted_at.desc())
            ).first()
            live.status = HeadStatus.RETIRED
            if before is None:
                return None
            before.status = HeadStatus.ACCEPTED
            return _version(before)

    @staticmethod
    def _retire(session: Session, name: str) -> None:
        live = (HeadRow.name == name, HeadRow.status == HeadStatus.ACCEPTED)
        session.execute(update(HeadRow).where(*live).values(status=HeadStatus.RETIRED))


def _lock(session: Session, name: str) -> None:
    """Makes whoever else accepts or rolls back this head wait."""
    session.scalars(select(HeadRow.version).where(HeadRow.name == name).order_by(HeadRow.version).with_for_update())


def _live(session: Session, name: str) -> str | None:
    live = select(HeadRow.version).where(HeadRow.name == name, HeadRow.status == HeadStatus.ACCEPTED)
    return session.scalars(live).first()


def _found(session: Session, name: str, version: str) -> HeadRow:
    row = session.get(HeadRow, (name, version))
    if row is None:
        raise NotFoundError(f"There is no version {version} of the head {name}.")
    return row


def _version(row: HeadRow) -> HeadVersion:
    return HeadVersion(
        name=row.name,
        version=row.version,
        parent=row.parent,
        sha256=row.sha256,
        blob_key=row.blob_key,
        size_bytes=row.size_bytes,
        figures=row.figures,
        status=HeadStatus(row.status),
        created_at=row.created_at,
        accepted_at=row.accepted_at,
    )
