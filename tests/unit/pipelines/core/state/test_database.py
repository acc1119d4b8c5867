import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from importlib.util import find_spec
from pathlib import Path

import pytest
from sqlalchemy import create_engine, select
from sqlalchemy.exc import StatementError

from pipelines.core.errors import ConfigurationError, StateUnavailableError
from pipelines.core.state import Ledger, migrate
from pipelines.core.state.database import Database, sqlite_url
from pipelines.core.state.tables import REVISION, Base, JobRow
from tests.support.services import missing


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a folder%20" / "state?x=1.db"


def migration_differences(path: Path) -> list[object]:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    engine = create_engine(sqlite_url(path))
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        differences = compare_metadata(context, Base.metadata)
    engine.dispose()
    return list(differences)


def test_the_migrations_make_the_tables_that_the_code_uses(path: Path) -> None:
    Ledger(path).close()
    assert migration_differences(path) == []


def test_the_revision_in_the_code_is_the_newest_migration() -> None:
    from alembic.script import ScriptDirectory

    assert ScriptDirectory(Path(migrate.__file__).parent / "migrations").get_current_head() == REVISION


def test_opening_a_current_database_does_not_import_alembic(path: Path) -> None:
    Ledger(path).close()
    code = (
        "import sys, pathlib; from pipelines.core.state import Ledger; Ledger(pathlib.Path(sys.argv[1])); "
        "sys.exit('alembic' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=True, cwd=Path.cwd())


def test_a_database_of_a_newer_strata_is_left_alone(path: Path) -> None:
    Ledger(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    with pytest.raises(ConfigurationError, match=r"schema 9999.*newer Strata"):
        Ledger(path)


def test_what_was_accepted_survives_power_loss(path: Path) -> None:
    database = Database(sqlite_url(path))
    with database.read() as session:
        pragmas = [session.connection().exec_driver_sql(f"PRAGMA {name}").scalar() for name in PRAGMAS]
    database.close()
    assert dict(zip(PRAGMAS, pragmas, strict=True)) == PRAGMAS


PRAGMAS = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 30_000}


def test_an_error_undoes_the_whole_transaction(path: Path) -> None:
    database = Database(sqlite_url(path))

    def write() -> None:
        with database.write() as session:
            session.add(job())
            session.flush()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write()
    with database.read() as session:
        assert session.scalars(select(JobRow)).all() == []
    database.close()


def test_writers_queue_up_instead_of_failing(path: Path) -> None:
    database = Database(sqlite_url(path))

    def count() -> None:
        for _ in range(20):
            with database.write() as session:
                session.get_one(JobRow, "a").total += 1

    with database.write() as session:
        session.add(job())
    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.read() as session:
        assert session.get_one(JobRow, "a").total == 80
    database.close()


def test_times_come_back_in_utc_and_naive_ones_are_refused(path: Path) -> None:
    database = Database(sqlite_url(path))
    elsewhere = datetime(2026, 1, 1, 2, tzinfo=timezone(timedelta(hours=2)))
    with database.write() as session:
        session.add(job(elsewhere))
    with database.read() as session:
        created = session.get_one(JobRow, "a").created_at
    assert (created, created.tzinfo) == (datetime(2026, 1, 1, tzinfo=UTC), UTC)

    def write_naive() -> None:
        with database.write() as session:
            session.add(job(datetime(2026, 1, 1), "b"))

    with pytest.raises(StatementError, match="naive"):
        write_naive()
    database.close()


def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    path.write_bytes(b"not a database" * 100)
    with pytest.raises(StateUnavailableError, match="file is not a database"):
        Ledger(path)


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StateUnavailableError, match="folder"):
        Ledger(tmp_path / "file" / "state.db")


@pytest.mark.network
def test_a_server_that_is_away_is_told_without_its_password() -> None:
    if find_spec("psycopg") is None:
        missing("psycopg is not installed")
    with pytest.raises(StateUnavailableError) as caught:
        Ledger("postgresql+psycopg://strata:hunter2@127.0.0.1:1/strata")
    assert "127.0.0.1" in caught.value.detail
    assert "hunter2" not in caught.value.detail


@pytest.mark.parametrize("address", ["nonsense", "nosuch://x/y", "sqlite://", "sqlite:///:memory:", "oracle://x/y"])
def test_an_address_that_cannot_work_is_refused(address: str) -> None:
    with pytest.raises(ConfigurationError, match=r"state\.url"):
        Ledger(address)


def job(created_at: datetime = datetime(2026, 1, 1, tzinfo=UTC), job_id: str = "a") -> JobRow:
    return JobRow(id=job_id, tenant="t", kind="ingest", total=0, created_at=created_at)


def test_two_ledgers_may_share_an_engine(path: Path) -> None:
    path.parent.mkdir()
    engine = create_engine(sqlite_url(path))
    first, second = Ledger(engine), Ledger(engine)
    assert first.counts() == second.counts()
    assert first.leases.reclaim() == second.leases.reclaim() == 0
    engine.dispose()


def test_a_database_survives_a_fork(path: Path) -> None:
    code = (
        "import os, sys, pathlib; from pipelines.core.state import Ledger; ledger = Ledger(pathlib.Path(sys.argv[1]));"
        "ledger.counts(); child = os.fork(); ledger.leases.reclaim(); ledger.counts();"
        "os._exit(0) if child == 0 else sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=True, cwd=Path.cwd())


def test_a_new_file_that_another_process_writes_to_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite"
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    with ThreadPoolExecutor(1) as pool:
        opened = pool.submit(Database, sqlite_url(path))
        time.sleep(0.3)
        assert not opened.done()
        other.execute("COMMIT")
        opened.result(timeout=30).close()
    other.close()
