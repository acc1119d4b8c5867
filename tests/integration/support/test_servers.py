"""The servers that tests start keep what they were told, however they end, and are found when they are left behind."""

import os
import subprocess
import sys
import time
from collections.abc import Callable

import psutil
import psycopg
import pytest

from tests.support.leftovers import MARK, leftovers
from tests.support.process import Server, ServerError
from tests.support.servers import Postgres, Redis

pytestmark = pytest.mark.network


@pytest.mark.parametrize("end", [Redis.kill, Redis.stop])
def test_redis_keeps_what_it_was_told(redis_server: Redis, redis_url: str, end: Callable[[Redis], None]) -> None:
    redis_server.command("SET key value")
    time.sleep(1.1)  # the append-only file is written once a second
    end(redis_server)
    with pytest.raises(ConnectionRefusedError):
        redis_server.command("PING")
    redis_server.start()
    assert b"value" in redis_server.command("GET key")
    assert redis_server.url == redis_url


@pytest.mark.parametrize("end", [Postgres.kill, Postgres.stop, lambda server: server.stop(immediate=True)])
def test_postgresql_keeps_what_it_committed(postgres_server: Postgres, end: Callable[[Postgres], None]) -> None:
    url = postgres_server.new_database().replace("+psycopg", "")
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS number")
    end(postgres_server)
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(url)
    postgres_server.start()
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT number FROM kept").fetchone() == (7,)


class Broken(Server):
    """A server with a mistake in its configuration."""

    def _command(self) -> list[str]:
        return [sys.executable, "-c", "raise SystemExit('line 3: what is this?')"]

    def _answers(self) -> bool:
        return False


def test_a_server_that_does_not_start_says_why() -> None:
    server = Broken()
    with pytest.raises(ServerError, match="line 3: what is this"), server:
        pass
    assert not server.folder.exists()


def test_a_process_whose_parent_was_killed_is_found() -> None:
    script = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)', 'strata'])"
    mark = f"{os.environ[MARK]}-here"
    subprocess.run([sys.executable, "-c", script], env=os.environ | {MARK: mark}, check=True)
    (found,) = _strata(mark)
    found.kill()
    while _strata(mark):
        time.sleep(0.01)


def _strata(mark: str) -> list[psutil.Process]:
    return [process for process, command in leftovers(mark) if command.endswith(" strata")]
