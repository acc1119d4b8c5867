"""What was seen of a source's files. Each function runs inside one write transaction of whoever holds the source."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from hashlib import sha256

from sqlalchemy import exists, func, select, update
from sqlalchemy.orm import Session

from pipelines.core.errors import NotFoundError
from pipelines.core.state import submit
from pipelines.core.state.document_rows import chunks
from pipelines.core.state.source_records import ReadFile, SeenFile, SyncItem
from pipelines.core.state.storable import clean
from pipelines.core.state.tables import JobRow, SourceFileRow


def look(session: Session, item: SyncItem, files: Sequence[SeenFile]) -> dict[str, bool]:
    """The paths of those that are new or changed, with whether they were known; the others are noted as still there."""
    names = {_hash(file.path): file for file in files}
    known = {row.path_sha256: row for row in _rows(session, item, names)}
    same = [key for key, file in names.items() if key in known and known[key].mark == file.mark]
    _note(session, item, same)
    return {file.path: key in known for key, file in names.items() if key not in set(same)}


def keep(session: Session, item: SyncItem, file: SeenFile) -> None:
    """Notes that a file is still there, and what is in it, though it could not be taken as it is now."""
    _note(session, item, [_hash(file.path)])


def _note(session: Session, item: SyncItem, keys: Sequence[str]) -> None:
    own = (SourceFileRow.source_id == item.source_id,)
    for part in chunks(keys):
        at = {"generation": item.generation}
        session.execute(update(SourceFileRow).where(*own, SourceFileRow.path_sha256.in_(part)).values(at))
        session.execute(update(SourceFileRow).where(*own, SourceFileRow.parent_sha256.in_(part)).values(at))


def accept(session: Session, item: SyncItem, job: JobRow, files: Sequence[ReadFile], now: datetime) -> None:
    """Adds the documents of files to the job, and notes the files."""
    submissions = [submission for read in files for submission in read.submissions]
    if submissions:
        submit.accept(session, job, submissions, now, job.labels)
    noted = {row.path_sha256: row for read in files for row in _noted(item, read)}
    known = {row.path_sha256: row for row in _rows(session, item, noted)}
    for key, row in noted.items():
        before = known.get(key)
        if before is None:
            session.add(row)
            continue
        if before.document_id is not None and row.document_id is None:  # the archive as a whole had failed
            _delete(session, item, before.document_id, now)
        session.merge(row)


def _noted(item: SyncItem, read: ReadFile) -> Iterator[SourceFileRow]:
    """The rows of a file, and of an archive's members."""
    key, own = _hash(read.file.path), None
    for submission in read.submissions:
        if submission.source == read.file.path:
            own = submission.document_id
        else:
            member = SeenFile(submission.source, "")
            yield _row(item, _hash(member.path), key, member, submission.document_id)
    yield _row(item, key, None, read.file, own)


def forget(session: Session, item: SyncItem, limit: int, now: datetime) -> tuple[int, int]:
    """Marks documents for deletion whose files were not seen; returns how many files, and members of archives.

    A document that another source brings as well stays.
    """
    rows = session.scalars(
        select(SourceFileRow)
        .where(SourceFileRow.source_id == item.source_id, SourceFileRow.generation < item.generation)
        .limit(limit)
    ).all()
    for row in sorted(rows, key=lambda row: row.document_id or ""):  # in the order of `document_rows.locked`
        if row.document_id is not None:
            _delete(session, item, row.document_id, now)
        session.delete(row)
    members = sum(row.parent_sha256 is not None for row in rows)
    return len(rows) - members, members


def count(session: Session, item: SyncItem) -> int:
    """How many files are noted from earlier looks."""
    statement = select(func.count()).where(
        SourceFileRow.source_id == item.source_id, SourceFileRow.generation < item.generation
    )
    return session.scalar(statement) or 0


def _rows(session: Session, item: SyncItem, keys: Iterable[str]) -> Iterable[SourceFileRow]:
    for part in chunks(sorted(keys)):
        yield from session.scalars(
            select(SourceFileRow).where(SourceFileRow.source_id == item.source_id, SourceFileRow.path_sha256.in_(part))
        )


def _row(item: SyncItem, key: str, parent: str | None, file: SeenFile, document_id: str | None) -> SourceFileRow:
    return SourceFileRow(
        source_id=item.source_id,
        path_sha256=key,
        parent_sha256=parent,
        path=clean(file.path),
        mark=file.mark,
        document_id=document_id,
        generation=item.generation,
    )


def _delete(session: Session, item: SyncItem, document_id: str, now: datetime) -> None:
    elsewhere = exists().where(SourceFileRow.document_id == document_id, SourceFileRow.source_id != item.source_id)
    if not session.scalar(select(elsewhere)):
        with suppress(NotFoundError):  # deleted by hand
            submit.delete(session, item.tenant, document_id, now)


def _hash(path: str) -> str:
    return sha256(path.encode("utf-8", "surrogatepass")).hexdigest()
