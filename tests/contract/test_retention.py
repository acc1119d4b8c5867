"""What is forgotten, and whose turn it is: on SQLite and on PostgreSQL."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from pipelines.core.errors import MalformedDocumentError, NotFoundError
from pipelines.core.state import Batches, Database, Ledger, NewQuestion, Retention, Submission
from pipelines.core.types import Answer, AnswerStatus, Question
from tests.support.clock import Clock

TENANT = "default"
DAY_S = 86400.0
ELSEWHERE = "elsewhere:1:x"


@pytest.fixture
def retention(database: Database, clock: Clock) -> Retention:
    return Retention(database, clock=clock)


def submit(ledger: Ledger, number: int, version: str = "a") -> str:
    submission = Submission(
        document_id=f"doc-{number}",
        source=f"{number}.pdf",
        name=f"{number}.pdf",
        content_sha256=version * 64,
        size_bytes=1,
        format="pdf",
        blob_key=f"blob-{number}-{version}",
        fingerprint=f"{version}-{number}",
    )
    return ledger.accept(TENANT, [submission]).id


def end(ledger: Ledger, *, failed: bool = False) -> None:
    for item in ledger.leases.claim(10, ELSEWHERE, 60):
        if failed:
            ledger.leases.fail(item, MalformedDocumentError("damaged"))
        else:
            ledger.leases.finish(item, passages=1, title="t", text_key=None)


def jobs(ledger: Ledger) -> set[str]:
    return {job.id for job in ledger.progress.jobs(TENANT).items}


def test_finished_jobs_go_and_those_that_still_matter_stay(ledger: Ledger, retention: Retention, clock: Clock) -> None:
    indexed = submit(ledger, 1)
    end(ledger)
    replaced = submit(ledger, 2)
    end(ledger, failed=True)
    failed = submit(ledger, 2, "b")
    end(ledger, failed=True)
    empty = ledger.start_job(TENANT, "sync").id
    waiting = submit(ledger, 3)
    clock.move(10 * DAY_S)
    late = submit(ledger, 4)
    end(ledger)  # and what waited ends now
    assert retention.forget_jobs(30, 100) == 0
    clock.move(25 * DAY_S)
    assert retention.forget_jobs(30, 2) == 2
    assert retention.forget_jobs(30, 2) == 1
    assert jobs(ledger) == {failed, waiting, late}
    for gone in (indexed, replaced, empty):
        with pytest.raises(NotFoundError):
            ledger.progress.items(gone, TENANT)
    assert ledger.unreferenced(["blob-2-a", "blob-2-b", "blob-1-a"]) == ["blob-2-a"]
    assert ledger.retry_failed(TENANT, failed) == 1
    end(ledger)
    clock.move(31 * DAY_S)
    assert retention.forget_jobs(30, 100) == 3
    assert ledger.document("doc-2", TENANT).version == "b-2"


def test_finished_batches_go(database: Database, ledger: Ledger, retention: Retention, clock: Clock) -> None:
    batches = Batches(database, clock=clock)

    def ask() -> str:
        return batches.accept(TENANT, [NewQuestion(Question(text="Why?").model_dump(mode="json"))]).id

    ask()
    (item,) = batches.claim(1, ELSEWHERE, 60)
    batches.finish(item, Answer(id="a", question="Why?", status=AnswerStatus.ANSWERED, text="So."))
    open_batch, document_job = ask(), submit(ledger, 1)
    clock.move(31 * DAY_S)
    assert retention.forget_batches(30, 100) == 1
    assert jobs(ledger) == {open_batch, document_job}


def test_old_receipts_go(ledger: Ledger, retention: Retention, clock: Clock) -> None:
    for number in range(3):
        ledger.receipts.record(TENANT, Answer(id=f"a-{number}", question="q", status=AnswerStatus.ANSWERED, text="t"))
        clock.move(DAY_S)
    assert retention.forget_receipts(1.5, 1) == 1
    assert retention.forget_receipts(1.5, 5) == 1
    assert retention.forget_receipts(1.5, 5) == 0
    assert ledger.receipts.of("a-2", TENANT).status == "answered"


def test_a_turn_is_taken_by_one_process_when_it_is_due(retention: Retention, clock: Clock) -> None:
    assert retention.take_turn("sweep", 60) == ""
    assert retention.take_turn("sweep", 60) is None
    assert retention.take_turn("other", 60) == ""
    clock.move(61)  # whoever had it died
    assert retention.take_turn("sweep", 60) == ""
    retention.end_turn("sweep", "17", 3600)
    clock.move(3599)
    assert retention.take_turn("sweep", 60) is None
    clock.move(2)
    assert retention.take_turn("sweep", 60) == "17"


def test_the_first_turn_is_taken_once(address: str) -> None:
    database = Database(address)
    together = threading.Barrier(6)

    def take(_: int) -> str | None:
        together.wait()
        return Retention(database).take_turn("sweep", 60)

    with ThreadPoolExecutor(6) as pool:
        assert sorted(pool.map(take, range(6)), key=str) == ["", None, None, None, None, None]
    database.close()
