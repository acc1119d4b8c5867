"""Workers take documents, report what came of them, die and stall: on SQLite and on PostgreSQL."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event

from pipelines.core.errors import IndexUnavailableError, MalformedDocumentError
from pipelines.core.state import Database, DocumentStatus, ItemStatus, JobStatus, Ledger, owner_id
from tests.support.clock import Clock
from tests.support.documents import TENANT, claim, finish, submission

CHILD = Path(__file__).with_name("ledger_child.py")


def test_an_error_that_may_pass_is_tried_again_later_until_attempts_run_out(ledger: Ledger, clock: Clock) -> None:
    job = ledger.accept(TENANT, [submission()])
    for attempt in (1, 2):
        (item,) = claim(ledger)
        assert item.attempt == attempt
        assert ledger.leases.fail(item, IndexUnavailableError("The index is away."))
        assert claim(ledger) == []  # not at once
        clock.move(30)
    (item,) = claim(ledger)
    assert not ledger.leases.fail(item, IndexUnavailableError("The index is away."))
    (record,) = ledger.progress.items(job.id, TENANT)
    assert (record.status, record.attempts, record.error_code) == (ItemStatus.FAILED, 3, "index_unavailable")
    assert ledger.progress.job(job.id, TENANT).status is JobStatus.FAILED


def test_one_failed_document_leaves_the_job_done(ledger: Ledger) -> None:
    job = ledger.accept(TENANT, [submission(1), submission(2)])
    bad, good = claim(ledger)
    ledger.leases.fail(bad, MalformedDocumentError("damaged"))
    finish(ledger, good)
    assert ledger.progress.job(job.id, TENANT).status is JobStatus.DONE
    assert [item.document_id for item in ledger.progress.items(job.id, TENANT, status=ItemStatus.FAILED)] == ["doc-1"]


def test_a_released_item_is_free_at_once_and_the_try_does_not_count(ledger: Ledger) -> None:
    ledger.accept(TENANT, [submission()])
    ledger.leases.release(claim(ledger)[0])
    assert claim(ledger)[0].attempt == 1


def test_an_expired_lease_is_taken_over_and_the_late_worker_changes_nothing(ledger: Ledger, clock: Clock) -> None:
    ledger.accept(TENANT, [submission()])
    (late,) = claim(ledger)
    clock.move(59)
    assert ledger.leases.extend([late], 60) == {late.token}
    clock.move(59)
    assert claim(ledger) == []
    clock.move(2)
    (taken,) = claim(ledger)
    assert taken.attempt == 2
    assert ledger.leases.extend([late], 60) == frozenset()
    assert not finish(ledger, late)
    assert not ledger.leases.fail(late, MalformedDocumentError("late"))
    ledger.leases.release(late)
    assert ledger.document("doc-1", TENANT).status is DocumentStatus.RUNNING
    assert finish(ledger, taken)


def test_a_document_that_kills_every_worker_ends_failed(ledger: Ledger, clock: Clock) -> None:
    job = ledger.accept(TENANT, [submission()])
    for _ in range(3):
        assert len(claim(ledger)) == 1
        clock.move(61)
    assert claim(ledger) == []
    (item,) = ledger.progress.items(job.id, TENANT)
    assert (item.status, item.error_code) == (ItemStatus.FAILED, "document_worker_lost")


def test_a_document_that_kills_every_worker_costs_the_others_nothing(ledger: Ledger, clock: Clock) -> None:
    ledger.accept(TENANT, [submission(number) for number in range(5)])
    for _ in range(20):
        items = claim(ledger)
        if any(item.document_id == "doc-2" for item in items):
            clock.move(61)  # the worker died before it finished any
        else:
            assert all(finish(ledger, item) for item in items)
    documents = {document.id: document.status for document in ledger.documents(TENANT).items}
    assert documents.pop("doc-2") is DocumentStatus.FAILED
    assert set(documents.values()) == {DocumentStatus.INDEXED}


def test_a_document_whose_worker_died_waits_for_a_worker_that_holds_nothing(ledger: Ledger, clock: Clock) -> None:
    ledger.accept(TENANT, [submission(1)])
    claim(ledger)
    clock.move(61)
    ledger.accept(TENANT, [submission(2)])
    ledger.leases.reclaim()
    assert [item.document_id for item in ledger.leases.claim(10, "elsewhere:1:x", 60)] == ["doc-2"]
    assert ledger.leases.claim(10, "elsewhere:1:x", 60, holding=True) == []
    assert [item.document_id for item in ledger.leases.claim(10, "elsewhere:1:x", 60)] == ["doc-1"]


def test_a_worker_knows_how_long_to_wait_for_the_next_try(ledger: Ledger, clock: Clock) -> None:
    assert ledger.leases.next_due_s() is None
    ledger.accept(TENANT, [submission(1), submission(2)])
    assert ledger.leases.next_due_s() == 0
    first, second = claim(ledger)
    assert ledger.leases.next_due_s() is None
    ledger.leases.fail(first, IndexUnavailableError("The index is away."))
    due = ledger.leases.next_due_s()
    assert due is not None
    assert due > 0
    ledger.leases.release(second)
    assert ledger.leases.next_due_s() == 0
    finish(ledger, claim(ledger)[0])
    clock.move(due)
    assert len(claim(ledger)) == 1


def test_the_lease_of_an_earlier_process_with_this_pid_ends_at_once(ledger: Ledger) -> None:
    ledger.accept(TENANT, [submission(1), submission(2)])
    host_pid, _, process = owner_id().rpartition(":")
    ledger.leases.claim(1, f"{owner_id()}/thread-2", lease_s=3600)
    ledger.leases.claim(1, f"{host_pid}:{'0' * len(process)}", lease_s=3600)
    assert [item.document_id for item in ledger.leases.claim(5, owner_id(), lease_s=60)] == ["doc-2"]


def test_a_process_that_is_alone_reclaims_everything(ledger: Ledger) -> None:
    ledger.accept(TENANT, [submission()])
    claim(ledger)
    assert ledger.leases.reclaim() == 0
    assert ledger.leases.reclaim(everyone=True) == 1
    assert len(claim(ledger)) == 1


def test_what_a_killed_process_held_is_claimable_at_once(address: str) -> None:
    with Ledger(address) as ledger:
        ledger.accept(TENANT, [submission()])
        with _child(address, "CLAIM") as child:
            assert child.stdout is not None
            assert child.stdout.readline().strip() == "doc-1"
            assert ledger.leases.claim(1, owner_id(), lease_s=60) == []
            child.kill()
        (item,) = ledger.leases.claim(1, owner_id(), lease_s=60)
        assert item.attempt == 2


def test_threads_never_claim_the_same_document(address: str) -> None:
    with Ledger(address) as ledger:
        ledger.accept(TENANT, [submission(number) for number in range(60)])

        def drain(_: int) -> list[str]:
            mine: list[str] = []
            while items := ledger.leases.claim(4, owner_id(), lease_s=60):
                mine.extend(item.document_id for item in items if finish(ledger, item))
            return mine

        with ThreadPoolExecutor(6) as pool:
            claimed = [document_id for mine in pool.map(drain, range(6)) for document_id in mine]
        assert sorted(claimed) == sorted(f"doc-{number}" for number in range(60))
        assert ledger.counts().documents[DocumentStatus.INDEXED] == 60


def test_processes_never_claim_the_same_document(address: str) -> None:
    with Ledger(address) as ledger:
        ledger.accept(TENANT, [submission(number) for number in range(60)])
        children = [_child(address, "DRAIN") for _ in range(3)]
        claimed = [line for child in children for line in child.communicate(timeout=60)[0].split()]
        assert all(child.returncode == 0 for child in children)
        assert sorted(claimed) == sorted(f"doc-{number}" for number in range(60))


@pytest.mark.network
def test_a_claim_reads_no_more_of_the_queue_than_it_takes(postgres_url: str) -> None:
    with Ledger(postgres_url) as ledger:
        ledger.accept(TENANT, [submission(number) for number in range(50)])
        engine = Database(postgres_url).engine
        plans: list[str] = []

        def explain(connection: Connection, _cursor: object, statement: str, values: Any, *_: object) -> None:
            if statement.startswith("SELECT") and "queued_at, documents.id" in statement:
                connection.exec_driver_sql("SET LOCAL enable_seqscan = off")  # of fifty rows all would be read
                plans.extend(row[0] for row in connection.exec_driver_sql(f"EXPLAIN {statement}", values))

        event.listen(engine, "before_cursor_execute", explain)
        assert len(claim(Ledger(engine), 5)) == 5
        engine.dispose()
    assert any("ix_documents_queue" in line for line in plans)
    assert not any("Sort" in line for line in plans)


def test_several_processes_may_create_the_schema_at_once(address: str) -> None:
    children = [_child(address, "OPEN") for _ in range(4)]
    assert [child.communicate(timeout=60)[0].strip() for child in children] == ["None"] * 4


def _child(address: str, action: str) -> "subprocess.Popen[str]":
    environment = os.environ | {"PYTHONPATH": str(Path.cwd())}
    command = [sys.executable, str(CHILD), address, action]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
