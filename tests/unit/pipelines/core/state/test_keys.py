from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from pipelines.core.errors import InvalidRequestError, NotFoundError, StateUnavailableError
from pipelines.core.state import Database, Keys, sqlite_url
from pipelines.core.state.keys import CACHE_S
from pipelines.core.state.tables import ApiKeyRow

START = datetime(2026, 1, 1, tzinfo=UTC)


class Time:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.passed_s = 0.0

    def now(self) -> datetime:
        return START + timedelta(seconds=self.passed_s)

    def ticks(self) -> float:
        return self.passed_s


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(sqlite_url(tmp_path / "state.sqlite"))
    yield database
    database.close()


@pytest.fixture
def keys(database: Database, time: Time) -> Keys:
    return Keys(database, clock=time.now, ticks=time.ticks)


def other_process(database: Database, time: Time) -> Keys:
    return Keys(database, clock=time.now, ticks=time.ticks)


def test_a_key_is_found_by_what_was_shown_once(keys: Keys) -> None:
    made, secret = keys.create("acme", "reader", ["ask"], labels=["b", "a"], rate_per_minute=7)
    found = keys.find(secret)
    assert found is not None
    assert found.principal == made.principal
    assert (found.tenant, found.scopes, found.labels, found.rate_per_minute) == ("acme", ("ask",), ("a", "b"), 7)
    assert secret.startswith(f"strata_{made.id}_")


def test_the_secret_is_nowhere_in_the_database(keys: Keys, database: Database) -> None:
    _, presented = keys.create("acme", "reader", ["ask"])
    secret = presented.split("_", 2)[2]
    with database.read() as session:
        row = session.scalars(select(ApiKeyRow)).one()
        assert secret not in repr(vars(row))
        assert len(row.secret_sha256) == 64


def test_no_labels_and_every_label_are_two_things(keys: Keys) -> None:
    none, _ = keys.create("acme", "none", ["ask"], labels=[])
    every, _ = keys.create("acme", "every", ["ask"])
    assert (keys.get(none.id).labels, keys.get(every.id).labels) == ((), None)


@pytest.mark.parametrize(
    "presented",
    [
        "",
        "strata_",
        "strata_0000000000000000_",
        "sk-whatever",
        "strata_0000000000000000_" + "x" * 43,
        "ключ" * 20,
        "\0",
    ],
)
def test_what_is_no_key_finds_nothing(keys: Keys, presented: str) -> None:
    keys.create("acme", "reader", ["ask"])
    assert keys.find(presented) is None
    assert not keys.recognised(presented)


def test_the_secret_of_another_key_finds_nothing(keys: Keys) -> None:
    one, first = keys.create("acme", "one", ["ask"])
    _, second = keys.create("globex", "two", ["ask"])
    assert keys.find(first) is not None
    assert keys.find(f"strata_{one.id}_{second.split('_', 2)[2]}") is None


def test_an_expired_key_finds_nothing_even_while_it_is_remembered(keys: Keys, time: Time) -> None:
    _, secret = keys.create("acme", "brief", ["ask"], expires_at=time.now() + timedelta(seconds=2))
    assert keys.find(secret) is not None
    time.passed_s = 2.0
    assert keys.find(secret) is None
    assert not keys.any_usable()


def test_a_revocation_holds_at_once_here_and_soon_elsewhere(keys: Keys, database: Database, time: Time) -> None:
    made, secret = keys.create("acme", "leaked", ["ask"])
    elsewhere = other_process(database, time)
    assert keys.find(secret) is not None
    assert elsewhere.find(secret) is not None
    assert keys.revoke(made.id, "acme").revoked_at == START
    assert keys.find(secret) is None
    assert elsewhere.find(secret) is not None
    time.passed_s = CACHE_S
    assert elsewhere.find(secret) is None
    assert elsewhere.recognised(secret)
    assert keys.revoke(made.id).revoked_at == START  # again: nothing changes


def test_keys_belong_to_their_tenant(keys: Keys, time: Time) -> None:
    mine, _ = keys.create("acme", "mine", ["ask"])
    time.passed_s = 1.0
    other, secret = keys.create("globex", "other", ["ask"])
    assert [key.id for key in keys.list("acme")] == [mine.id]
    assert [key.id for key in keys.list()] == [mine.id, other.id]
    with pytest.raises(NotFoundError):
        keys.revoke(other.id, "acme")
    assert keys.find(secret) is not None


def test_a_reader_with_labels_manages_only_keys_that_hold_no_more(keys: Keys) -> None:
    team, _ = keys.create("acme", "team", ["ask"], labels=["team"])
    every, _ = keys.create("acme", "every", ["ask"])
    assert [key.id for key in keys.list("acme", labels=("team", "x"))] == [team.id]
    with pytest.raises(NotFoundError):
        keys.revoke(every.id, "acme", labels=("team",))


def test_use_is_recorded_once_a_minute(keys: Keys, time: Time) -> None:
    made, secret = keys.create("acme", "busy", ["ask"])
    seen = []
    for at in (1.0, 7.0, 60.0, 61.0, 67.0):
        time.passed_s = at
        keys.find(secret)
        used = keys.get(made.id).used_at
        assert used is not None
        seen.append((used - START).total_seconds())
    assert seen == [1.0, 1.0, 1.0, 1.0, 67.0]  # at 61 it is remembered from 60


def test_a_key_outlives_an_outage_of_the_state_for_a_moment_only(
    keys: Keys, database: Database, time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, secret = keys.create("acme", "reader", ["ask"])
    assert keys.find(secret) is not None

    def away() -> None:
        raise StateUnavailableError("gone")

    monkeypatch.setattr(database, "read", away)
    assert keys.find(secret) is not None
    time.passed_s = CACHE_S
    with pytest.raises(StateUnavailableError):
        keys.find(secret)


@pytest.mark.parametrize(
    "wrong",
    [
        {"tenant": ""},
        {"tenant": "a b"},
        {"tenant": "x" * 129},
        {"name": " "},
        {"name": "a\nb"},
        {"scopes": []},
        {"scopes": ["root"]},
        {"labels": ["Not a label"]},
        {"rate_per_minute": 0},
        {"expires_at": START},
    ],
)
def test_what_a_key_cannot_be_is_refused(keys: Keys, wrong: dict[str, object]) -> None:
    given = {"tenant": "acme", "name": "key", "scopes": ["ask"], **wrong}
    with pytest.raises(InvalidRequestError):
        keys.create(**given)  # type: ignore[arg-type]
    assert keys.list() == ()
