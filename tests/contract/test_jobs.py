"""What jobs tell, and how they are made, grow and are listed: on SQLite and on PostgreSQL."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from pipelines.core.errors import (
    ConflictError,
    IndexUnavailableError,
    InvalidRequestError,
    NotFoundError,
    RepeatedKeyError,
)
from pipelines.core.state import (
    Database,
    Fleet,
    ItemState,
    ItemStatus,
    JobState,
    JobStatus,
    Ledger,
    Once,
    digest,
)
from pipelines.core.state.tables import SourceRow
from tests.support.clock import Clock
from tests.support.documents import TENANT, claim, finish, submission

EVER = (datetime(1970, 1, 1, tzinfo=UTC), -1)


@pytest.fixture
def fleet(database: Database, clock: Clock) -> Fleet:
    return Fleet(database, clock=clock)


# --- What is waited for ----------------------------------------------------------------------------------------------


def test_queued_work_tells_that_no_worker_takes_it(ledger: Ledger, fleet: Fleet) -> None:
    job = ledger.accept(TENANT, [submission()])
    (item,) = ledger.progress.items(job.id, TENANT)
    assert (job.state, item.state, item.status) == (JobState.WAITING, ItemState.WAITING, ItemStatus.QUEUED)
    assert job.detail == item.detail == "No ingest worker is running."
    fleet.beat(["ingest"], worker="elsewhere:1:x")
    (item,) = ledger.progress.items(job.id, TENANT)
    assert (ledger.progress.job(job.id, TENANT).state, item.state, item.detail) == (
        JobState.QUEUED,
        ItemState.QUEUED,
        None,
    )
    fleet.beat(["ingest"], busy=["ingest"], worker="elsewhere:1:x")
    fleet.beat(["ingest", "sync"], busy=["ingest", "sync"], worker="elsewhere:2:x")
    fleet.beat(["answers"], worker="elsewhere:3:x")
    assert ledger.progress.items(job.id, TENANT)[0].detail == "All 2 ingest workers are busy."
    claim(ledger)
    assert (ledger.progress.job(job.id, TENANT).state, ledger.progress.items(job.id, TENANT)[0].state) == (
        "running",
        "running",
    )


def test_a_retry_tells_why_and_when(ledger: Ledger, fleet: Fleet, clock: Clock) -> None:
    fleet.beat(["ingest"], worker="elsewhere:1:x")
    job = ledger.accept(TENANT, [submission(1), submission(2)])
    first, second = claim(ledger)
    ledger.leases.fail(first, IndexUnavailableError("The index is away."))
    shown, other = ledger.progress.items(job.id, TENANT)
    assert (shown.state, shown.detail, other.state) == (ItemState.RETRYING, "The index is away.", ItemState.RUNNING)
    assert shown.next_try_at is not None
    assert shown.next_try_at > clock.now
    running = ledger.progress.job(job.id, TENANT)
    assert (running.state, running.retrying, running.next_try_at) == (JobState.RUNNING, 1, shown.next_try_at)
    assert finish(ledger, second)
    assert ledger.progress.job(job.id, TENANT).state is JobState.RETRYING
    clock.move(40)  # nobody was heard of meanwhile
    late = ledger.progress.items(job.id, TENANT)[0]
    assert late.detail == "The index is away. No ingest worker is running."
    (again,) = claim(ledger)
    assert finish(ledger, again)
    done = ledger.progress.job(job.id, TENANT)
    assert (done.state, done.detail, done.retrying, done.next_try_at) == (JobState.DONE, None, 0, None)


def test_changes_are_told_once_and_in_order(ledger: Ledger) -> None:
    job = ledger.accept(TENANT, [submission(number) for number in range(4)])

    def changed(since: tuple[datetime, int], limit: int = 10) -> list[tuple[int, str]]:
        items = ledger.progress.changed(job.id, TENANT, since=since, limit=limit)
        seen.extend((item.updated_at, item.ordinal) for item in items)
        return [(item.ordinal, item.status) for item in items]

    seen: list[tuple[datetime, int]] = []
    assert changed(EVER, 3) == [(0, "queued"), (1, "queued"), (2, "queued")]
    assert changed(seen[-1]) == [(3, "queued")]
    assert changed(seen[-1]) == []
    first, second = claim(ledger, 2)
    assert changed(seen[-1]) == [(0, "running"), (1, "running")]
    assert finish(ledger, second)
    ledger.leases.fail(first, IndexUnavailableError("away"))
    assert changed(seen[-1]) == [(1, "indexed"), (0, "queued")]
    ledger.cancel(job.id, TENANT)
    assert sorted(changed(seen[-1])) == [(0, "cancelled"), (2, "cancelled"), (3, "cancelled")]
    with pytest.raises(NotFoundError):
        ledger.progress.changed(job.id, "other", since=EVER)


# --- Made once -------------------------------------------------------------------------------------------------------


def test_the_same_key_and_request_give_the_same_job(ledger: Ledger) -> None:
    once = Once("key", digest(["a", {"b": 1}]))
    first = ledger.accept(TENANT, [submission()], once=once)
    again = ledger.accept(TENANT, [submission()], once=once)
    assert (first.id, first.replayed, again.replayed) == (again.id, False, True)
    assert again.total == 1
    with pytest.raises(RepeatedKeyError):
        ledger.accept(TENANT, [submission(2)], once=Once("key", digest(["other"])))
    assert [document.id for document in ledger.documents(TENANT).items] == ["doc-1"]
    assert ledger.accept("other", [submission(9)], once=once).id != first.id
    with pytest.raises(RepeatedKeyError):
        ledger.start_job(TENANT, "sync", once=Once("key", "0"))


def test_a_refused_submission_does_not_use_its_key_up(ledger: Ledger) -> None:
    ledger.accept("other", [submission()])
    once = Once("key", "sha")
    with pytest.raises(ConflictError):
        ledger.accept(TENANT, [submission()], once=once)
    assert not ledger.accept(TENANT, [submission(2)], once=once).replayed


def test_a_key_used_by_many_at_once_makes_one_job(address: str) -> None:
    database = Database(address)
    ledger, together = Ledger(database), threading.Barrier(6)

    def accept(_: int) -> tuple[str, bool]:
        together.wait()
        job = ledger.accept(TENANT, [submission(number) for number in range(20)], once=Once("key", "sha"))
        return job.id, job.replayed

    with ThreadPoolExecutor(6) as pool:
        jobs = list(pool.map(accept, range(6)))
    assert len({job_id for job_id, _ in jobs}) == 1
    assert sorted(replayed for _, replayed in jobs) == [False] + [True] * 5
    assert len(ledger.progress.jobs(TENANT).items) == 1
    database.close()


@pytest.mark.parametrize("parts", [(["a", "b"], ["ab"]), ([{"a": 1}], [{"a": 2}]), ([["a"], "b"], [["a", "b"]])])
def test_other_requests_have_other_digests(parts: tuple[list[object], list[object]]) -> None:
    assert digest(parts[0]) != digest(parts[1])
    assert digest([{"a": 1, "b": 2}]) == digest([{"b": 2, "a": 1}])


# --- Growing ---------------------------------------------------------------------------------------------------------


def test_a_job_grows_part_by_part(ledger: Ledger) -> None:
    job = ledger.start_job(TENANT, "sync", labels=("a",))
    assert (job.kind, job.status, job.total, job.labels, job.finished) == ("sync", JobStatus.DONE, 0, ("a",), True)
    ledger.accept(TENANT, [submission(1), submission(2)], job_id=job.id)
    grown = ledger.accept(TENANT, [submission(3)], job_id=job.id)
    assert (grown.id, grown.total, grown.status, grown.finished_at) == (job.id, 3, JobStatus.QUEUED, None)
    assert [item.ordinal for item in ledger.progress.items(job.id, TENANT)] == [0, 1, 2]
    for item in claim(ledger):
        assert finish(ledger, item)
    assert ledger.progress.job(job.id, TENANT).status is JobStatus.DONE
    with pytest.raises(InvalidRequestError):
        ledger.accept(TENANT, [], job_id=job.id)
    with pytest.raises(NotFoundError):
        ledger.accept("other", [submission(4)], job_id=job.id)


def test_a_job_whose_source_is_listed_is_not_finished(ledger: Ledger, database: Database, clock: Clock) -> None:
    job = ledger.start_job(TENANT, "sync")
    with database.write() as session:
        source = SourceRow(id="s", tenant=TENANT, url="file:///x", url_sha256="0", metadata_={}, status="running")
        source.job_id, source.queued_at, source.created_at = job.id, clock(), clock()
        session.add(source)
    listed = ledger.progress.job(job.id, TENANT)
    assert (listed.status, listed.finished, listed.finished_at) == (JobStatus.RUNNING, False, None)
    with database.write() as session:
        found = session.get(SourceRow, "s")
        assert found is not None
        found.status = "synced"
    assert ledger.progress.job(job.id, TENANT).finished


def test_a_cancelled_job_takes_nothing_more(ledger: Ledger) -> None:
    job = ledger.start_job(TENANT, "sync")
    assert ledger.cancel(job.id, TENANT).status is JobStatus.CANCELLED
    with pytest.raises(ConflictError):
        ledger.accept(TENANT, [submission()], job_id=job.id)


def test_parts_that_come_at_once_all_count(address: str) -> None:
    database = Database(address)
    ledger = Ledger(database)
    job = ledger.start_job(TENANT, "sync")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda at: ledger.accept(TENANT, [submission(at), submission(at + 9)], job_id=job.id), range(4)))
    assert ledger.progress.job(job.id, TENANT).total == 8
    assert [item.ordinal for item in ledger.progress.items(job.id, TENANT)] == list(range(8))
    database.close()


# --- Listing ---------------------------------------------------------------------------------------------------------


def test_jobs_are_listed_newest_first_page_by_page(ledger: Ledger) -> None:
    made = [ledger.accept(TENANT, [submission(number)]).id for number in range(4)]
    sync = ledger.start_job(TENANT, "sync").id
    ledger.accept("other", [submission(9)])
    seen: list[str] = []
    cursor = None
    for _ in range(3):
        page = ledger.progress.jobs(TENANT, limit=2, cursor=cursor)
        seen.extend(job.id for job in page.items)
        cursor = page.next_cursor
    assert (seen, cursor) == ([sync, *reversed(made)], None)
    assert [job.id for job in ledger.progress.jobs(TENANT, kinds=["sync"]).items] == [sync]
    assert ledger.progress.jobs(TENANT, kinds=["ingest"], limit=1).items[0].counts[ItemStatus.QUEUED] == 1
    with pytest.raises(InvalidRequestError):
        ledger.progress.jobs(TENANT, cursor="x")


def test_job_items_come_in_pages(ledger: Ledger) -> None:
    job = ledger.accept(TENANT, [submission(number) for number in range(3)])
    assert [item.ordinal for item in ledger.progress.items(job.id, TENANT, limit=2)] == [0, 1]
    assert [item.ordinal for item in ledger.progress.items(job.id, TENANT, after=1)] == [2]
