"""What the suites of the state database share: every kind of database, and a clock that is moved by hand."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.core.state import Database, Ledger
from tests.support.clock import Clock


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=[pytest.mark.network])])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'state.db'}"
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture
def clock() -> Clock:
    """At the first of January 2026."""
    return Clock()


@pytest.fixture
def database(address: str) -> Iterator[Database]:
    """Open."""
    database = Database(address)
    yield database
    database.close()


@pytest.fixture
def ledger(database: Database, clock: Clock) -> Ledger:
    """On that database, by that clock."""
    return Ledger(database, clock=clock)
