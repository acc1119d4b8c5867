"""What the register of workers does, on SQLite and on PostgreSQL."""

import pytest

from pipelines.core.state import Database, Fleet, owner_id
from tests.support.clock import Clock


@pytest.fixture
def fleet(database: Database, clock: Clock) -> Fleet:
    return Fleet(database, clock=clock)


def test_workers_are_heard_of_by_role(fleet: Fleet) -> None:
    fleet.beat(["ingest", "answers"])
    fleet.beat(["prune"], worker="elsewhere:1:x")
    assert [worker.id for worker in fleet.workers("answers")] == [owner_id()]
    assert [worker.roles for worker in fleet.workers("prune")] == [("prune",)]
    assert len(fleet.workers()) == 2
    assert fleet.workers("sync") == []


def test_the_last_beat_counts(fleet: Fleet, clock: Clock) -> None:
    fleet.beat(["ingest"])
    started = fleet.workers()[0].started_at
    clock.move(5)
    fleet.beat(["ingest", "sync"], busy=["sync"])
    (worker,) = fleet.workers()
    assert (worker.roles, worker.busy, worker.started_at) == (("ingest", "sync"), ("sync",), started)
    assert worker.seen_at > started


def test_a_worker_that_ends_or_falls_silent_is_gone(fleet: Fleet, clock: Clock) -> None:
    fleet.beat(["ingest"])
    fleet.beat(["ingest"], worker="elsewhere:1:x")
    fleet.gone()
    fleet.gone()
    assert [worker.id for worker in fleet.workers()] == ["elsewhere:1:x"]
    clock.move(29)
    assert len(fleet.workers()) == 1
    clock.move(2)
    assert fleet.workers() == []
    fleet.beat(["ingest"], worker="elsewhere:1:x")
    assert len(fleet.workers()) == 1


def test_a_dead_process_of_this_host_is_gone_at_once(fleet: Fleet) -> None:
    host, pid, _ = owner_id().split(":")
    fleet.beat(["ingest"], worker=f"{host}:{pid}:{'0' * 12}")
    assert fleet.workers("ingest") == []


def test_rows_of_killed_workers_do_not_pile_up(fleet: Fleet, clock: Clock, database: Database) -> None:
    from pipelines.core.state.tables import WorkerRow

    for number in range(3):
        fleet.beat(["ingest"], worker=f"elsewhere:{number}:x")
        clock.move(3000)
    with database.read() as session:
        assert session.query(WorkerRow).count() == 2
