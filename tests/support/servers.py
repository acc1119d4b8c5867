"""Debian's Redis and PostgreSQL, started for tests and benchmarks; killed, and started again on the same data."""

import os
import shutil
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.process import Server
from tests.support.services import missing

POSTGRES_URL = "STRATA_TEST_POSTGRES_URL"


class Redis(Server):
    """Redis as a queue needs it: everything in the append-only file, nothing evicted, no snapshots."""

    name = "redis"

    @staticmethod
    def program() -> str | None:
        """Where it is installed."""
        return shutil.which("redis-server")

    @property
    def url(self) -> str:
        """Of database 0."""
        return f"redis://127.0.0.1:{self.port}/0"

    def command(self, *words: str) -> bytes:
        """Sends one command and returns the reply's first bytes, as they come."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            connection.sendall(" ".join(words).encode() + b"\r\n")
            return connection.recv(4096)

    def flush(self) -> None:
        """Removes everything."""
        assert self.command("FLUSHALL").startswith(b"+OK")

    def stop(self) -> None:
        """Ends it as a service manager would."""
        self._end(signal.SIGTERM)

    def _command(self) -> list[str]:
        options = {
            "bind": "127.0.0.1",
            "port": str(self.port),
            "dir": str(self.folder),
            "save": "",
            "appendonly": "yes",
            "appendfsync": "everysec",
            "maxmemory-policy": "noeviction",
            "daemonize": "no",
        }
        return [str(self.program()), *(word for name, value in options.items() for word in (f"--{name}", value))]

    def _answers(self) -> bool:
        try:
            return self.command("PING").startswith(b"+PONG")  # an error while it still reads its file
        except OSError:
            return False


class Databases:
    """A PostgreSQL server by its address; gives every asker a database of its own.

    Args:
        url: SQLAlchemy address of an existing database, whose user may make others.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._made: list[str] = []

    def new_database(self) -> str:
        """The SQLAlchemy address of an empty database."""
        name = f"strata_{uuid.uuid4().hex}"
        self._execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'")
        self._made.append(name)
        return str(self._address().set(database=name).render_as_string(hide_password=False))

    def drop_databases(self) -> None:
        """Removes those that it made."""
        while self._made:
            self._execute(f"DROP DATABASE IF EXISTS {self._made.pop()} WITH (FORCE)")

    def _address(self) -> Any:
        from sqlalchemy import make_url

        return make_url(self._url)

    def _execute(self, statement: str) -> None:
        import psycopg

        plain = self._address().set(drivername="postgresql").render_as_string(hide_password=False)
        with psycopg.connect(plain, autocommit=True, connect_timeout=5) as connection:
            connection.execute(statement.encode())


class Postgres(Server, Databases):
    """PostgreSQL with trust for everybody on loopback.

    Args:
        fsync: Off, what is written survives every end of the process, but not of the machine; it is faster.
    """

    name = "postgres"

    def __init__(self, *, fsync: bool = False) -> None:
        Server.__init__(self)
        Databases.__init__(self, f"postgresql+psycopg://strata@127.0.0.1:{self.port}/postgres")
        self._fsync = fsync

    @staticmethod
    def program(name: str = "postgres") -> str | None:
        """Where it is installed. Debian keeps it out of the path, by version."""
        found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: float(path.parts[-3]))
        return str(found[-1]) if found else shutil.which(name)

    def stop(self, *, immediate: bool = False) -> None:
        """Ends it in its mode `fast`, which breaks connections off, or `immediate`, after which it has to recover."""
        self._end(signal.SIGQUIT if immediate else signal.SIGINT)

    def kill(self) -> None:
        """SIGKILL of the server, and the wait until its processes for single connections saw that and went."""
        import psutil

        left = psutil.Process(self.process.pid).children() if self.process is not None else []
        super().kill()
        while any(each.is_running() and each.status() != psutil.STATUS_ZOMBIE for each in left):
            time.sleep(0.01)

    def _prepare(self) -> None:
        user = _user()
        if user:
            shutil.chown(self.folder, user["user"], user["group"])
        options = ["--auth=trust", "--username=strata", "--encoding=UTF8", "--no-locale", "--no-sync"]
        subprocess.run(
            [str(self.program("initdb")), "-D", str(self.folder / "data"), *options],
            check=True,
            capture_output=True,
            cwd=self.folder,
            **user,
        )

    def _options(self) -> dict[str, Any]:
        return {"cwd": self.folder, **_user()}

    def _command(self) -> list[str]:
        options = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "max_connections": "300",
            "fsync": "on" if self._fsync else "off",
        }
        named = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        return [str(self.program()), "-D", str(self.folder / "data"), "-p", str(self.port), *named]

    def _answers(self) -> bool:
        import psycopg

        try:
            self._execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True


def _user() -> dict[str, Any]:
    """PostgreSQL does not run as root; Debian's package makes a user for it."""
    return {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}


# --- Fixtures, known to every test through tests/conftest.py ---------------------------------------------------------


@pytest.fixture(scope="session")
def redis_server() -> Iterator[Redis]:
    """One Redis for all tests. A test that kills it starts it again."""
    if Redis.program() is None:
        missing("redis-server is not installed")
    with Redis() as server:
        yield server


@pytest.fixture
def redis_url(redis_server: Redis) -> str:
    """An empty Redis."""
    redis_server.flush()
    return redis_server.url


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Postgres]:
    """One PostgreSQL for all tests. A test that stops it starts it again."""
    if Postgres.program() is None:
        missing("PostgreSQL is not installed")
    with Postgres() as server:
        yield server


@pytest.fixture(scope="session")
def databases(request: pytest.FixtureRequest) -> Iterator[Databases]:
    """The PostgreSQL that STRATA_TEST_POSTGRES_URL names, whose user may make databases, or else our own."""
    url = os.environ.get(POSTGRES_URL)
    if url is None:
        yield request.getfixturevalue("postgres_server")
        return
    given = Databases(url)
    yield given
    given.drop_databases()


@pytest.fixture
def postgres_url(databases: Databases) -> str:
    """An empty database."""
    return databases.new_database()
