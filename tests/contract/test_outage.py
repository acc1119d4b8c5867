"""A PostgreSQL that hangs or goes away is heard of soon, and its return needs nothing."""

import signal
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import psutil
import pytest
from sqlalchemy import text

from pipelines.core.errors import StateUnavailableError
from pipelines.core.state import Database, Ledger, postgres
from pipelines.core.state.tables import TurnRow
from tests.support.servers import Postgres
from tests.support.services import missing

pytestmark = pytest.mark.network


@pytest.fixture
def server() -> Iterator[Postgres]:
    if Postgres.program() is None:
        missing("PostgreSQL is not installed")
    with Postgres() as server:
        yield server


@pytest.fixture
def address(server: Postgres) -> str:
    return f"postgresql+psycopg://strata@127.0.0.1:{server.port}/postgres"


def until_it_answers(ledger: Ledger) -> None:
    end = time.monotonic() + 60
    while True:
        try:
            assert ledger.queued() == 0
            return
        except StateUnavailableError:
            assert time.monotonic() < end
            time.sleep(0.1)


def test_a_statement_without_an_answer_is_given_up(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    database = Database(postgres_url)
    monkeypatch.setattr(postgres.BoundedConnection, "answer_s", 0.5)
    started = time.monotonic()
    with pytest.raises(StateUnavailableError, match=r"did not answer within 0\.5 s"), database.write() as session:
        session.execute(text("SELECT pg_sleep(20)"))
    assert time.monotonic() - started < 15
    database.ping()
    database.close()


def test_a_process_that_stops_in_a_transaction_gives_up_its_locks(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "IDLE_S", 1)
    stopped, other = Database(postgres_url), Database(postgres_url)
    with stopped.write() as session:
        session.add(TurnRow(name="sweep", due_at=datetime.now(UTC)))

    def stop_with_a_lock() -> None:
        with stopped.write() as session:
            session.get(TurnRow, "sweep", with_for_update=True)
            with other.write() as others:  # it waits for the lock, and gets it
                assert others.get(TurnRow, "sweep", with_for_update=True) is not None
            session.execute(text("SELECT 1"))

    with pytest.raises(StateUnavailableError):
        stop_with_a_lock()
    stopped.ping()
    for database in (stopped, other):
        database.close()


def test_a_server_that_hangs_and_goes_on(server: Postgres, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres.BoundedConnection, "answer_s", 1.5)
    ledger = Ledger(address)
    assert ledger.queued() == 0
    assert server.process is not None
    main = psutil.Process(server.process.pid)
    processes = [main, *main.children()]
    for each in processes:
        each.send_signal(signal.SIGSTOP)
    try:
        started = time.monotonic()
        with pytest.raises(StateUnavailableError):
            ledger.queued()
        assert time.monotonic() - started < postgres.CONNECT_S + 15
    finally:
        for each in processes:
            each.send_signal(signal.SIGCONT)
    until_it_answers(ledger)
    ledger.close()


def test_a_server_that_is_killed_and_started_again(server: Postgres, address: str) -> None:
    ledger = Ledger(address)
    assert ledger.queued() == 0
    server.kill()
    for _ in range(7):
        started = time.monotonic()
        with pytest.raises(StateUnavailableError):
            ledger.queued()
        assert time.monotonic() - started < postgres.CONNECT_S
    with pytest.raises(StateUnavailableError, match="left alone for a moment") as left_alone:
        ledger.queued()
    assert left_alone.value.retry_after_s is not None
    server.start()
    until_it_answers(ledger)
    ledger.close()
