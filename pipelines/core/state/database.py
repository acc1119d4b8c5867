"""The connection: engine, pragmas, transactions, and what a failing database looks like to the rest of Strata."""

import os
import sqlite3
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import (
    ArgumentError,
    DatabaseError,
    DataError,
    InterfaceError,
    InternalError,
    NoSuchModuleError,
    OperationalError,
    TimeoutError,
)
from sqlalchemy.orm import Session
from sqlalchemy.pool import ConnectionPoolEntry

from pipelines.core.breaker import Breaker
from pipelines.core.errors import ConfigurationError, InvalidRequestError, StateUnavailableError
from pipelines.core.state.migrate import upgrade

POOL_S = 10
"""How long a transaction waits for one of the connections, of which there are twenty at most."""

BUSY_TIMEOUT_S = 30
"""How long a transaction waits for SQLite's one write lock. Ours take milliseconds; a backup may take longer."""


class Database:
    """A database at the newest schema. Safe to share between threads.

    Raises:
        ConfigurationError: the address is not one, or its driver is missing.
        StateUnavailableError: the database cannot be reached.
    """

    def __init__(self, address: str | URL | Engine) -> None:
        self.engine = address if isinstance(address, Engine) else _engine(address)
        if self.engine.dialect.name == "sqlite":
            event.listen(self.engine, "connect", _set_pragmas)
            event.listen(self.engine, "begin", _begin_sqlite)
        self._writer = self.engine.execution_options(strata_begin="BEGIN IMMEDIATE")
        self._server = (
            None if self.engine.dialect.name == "sqlite" else Breaker("state database", StateUnavailableError)
        )
        # a connection must not be used on both sides of a fork (Celery's prefork pool)
        engine = weakref.ref(self.engine)
        os.register_at_fork(after_in_child=lambda: _forget_connections(engine))
        with self._translated():
            upgrade(self.engine, self._writer)

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A transaction that only reads."""
        with self._transaction(self.engine) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A transaction that writes: all of it or nothing, durable on leaving."""
        with self._transaction(self._writer) as session:
            yield session

    def ping(self) -> None:
        """Asks the database for an answer.

        Raises:
            StateUnavailableError: there is none.
        """
        with self.read() as session:
            session.execute(text("SELECT 1"))

    @contextmanager
    def _transaction(self, engine: Engine) -> Iterator[Session]:
        with self._called(), self._translated(), Session(engine) as session, session.begin():
            if self._server is not None:
                session.connection()  # now, so that whoever probes a server that was away says soon that it is back
                self._server.succeeded()
            yield session

    @contextmanager
    def _called(self) -> Iterator[None]:
        """A server that fails several times in a row is left alone for a moment; a file is not."""
        if self._server is None:
            yield
            return
        self._server.check()
        try:
            yield
        except StateUnavailableError:
            self._server.failed()
            raise
        except BaseException:
            self._server.abandoned()
            raise

    def close(self) -> None:
        """Closes the connections. Idempotent."""
        self.engine.dispose()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (OperationalError, InterfaceError, InternalError, TimeoutError) as error:
            raise self._unavailable(error) from error
        except (DataError, UnicodeEncodeError) as error:
            raise InvalidRequestError("The request holds text that the state database cannot store.") from error
        except DatabaseError as error:
            if type(error) is DatabaseError:  # SQLite: not a database, or damaged; subclasses are our own mistakes
                raise self._unavailable(error) from error
            raise

    def _unavailable(self, error: Exception) -> StateUnavailableError:
        reason = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        address = self.engine.url.render_as_string(hide_password=True)
        return StateUnavailableError(f"The state database {address} cannot be used: {reason}.")


def sqlite_url(path: Path) -> URL:
    """The address of a SQLite file, whatever characters its path has."""
    return URL.create("sqlite", database=str(path))


def _engine(address: str | URL) -> Engine:
    try:
        url = make_url(address)
        if url.get_backend_name() == "sqlite":
            if not url.database or url.database == ":memory:":
                raise ConfigurationError("state.url: SQLite needs a file; in memory nothing accepted would be durable")
            Path(url.database).parent.mkdir(parents=True, exist_ok=True)
            return create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_S})
        return _server_engine(url)
    except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
        raise ConfigurationError(f"state.url is not an address that can be used: {error}") from error
    except OSError as error:
        raise StateUnavailableError(f"The folder of the state database cannot be made: {error}.") from error


def _server_engine(url: URL) -> Engine:
    pool: dict[str, Any] = {"pool_pre_ping": True, "pool_size": 5, "max_overflow": 15, "pool_timeout": POOL_S}
    if url.get_driver_name() != "psycopg":
        return create_engine(url, **pool)
    from pipelines.core.state import postgres

    engine = create_engine(url, connect_args=postgres.ARGUMENTS, **pool)
    postgres.bound(engine)
    return engine


def _set_pragmas(connection: sqlite3.Connection, _entry: ConnectionPoolEntry) -> None:
    connection.isolation_level = None  # `_begin_sqlite` begins; the driver's own BEGIN comes too late to lock
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_S * 1000}")
    _write_ahead(cursor)
    cursor.execute("PRAGMA synchronous = FULL")  # in WAL, NORMAL may lose the last commits with the power
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _write_ahead(cursor: sqlite3.Cursor) -> None:
    """Turns the log of a new file to write-ahead; SQLite itself does not wait where another process does the same."""
    until = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            if cursor.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
                cursor.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
            if not busy or time.monotonic() > until:
                raise
            time.sleep(0.01)
        else:
            return


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get("strata_begin", "BEGIN"))


def _forget_connections(engine: "weakref.ref[Any]") -> None:
    if (alive := engine()) is not None:
        alive.dispose(close=False)
