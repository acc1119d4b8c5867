import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines.core.access import OWNER
from pipelines.core.errors import ConfigurationError, RateLimitedError, StateUnavailableError, UnauthenticatedError
from pipelines.core.settings import Settings
from pipelines.core.state import Database, Keys, sqlite_url
from services.api.gatekeeper import BOOTSTRAP, Gatekeeper, is_loopback, needs_keys, require_a_key
from services.api.rates import MAX_ADDRESSES, WRONG_PER_MINUTE

BOOTSTRAP_KEY = "b" * 32
HERE = "127.0.0.1"


@pytest.fixture
def keys(tmp_path: Path) -> Iterator[Keys]:
    database = Database(sqlite_url(tmp_path / "state.sqlite"))
    yield Keys(database)
    database.close()


def settings(**api: Any) -> Settings:
    return Settings.model_validate({"api": api})


def gate(known: Keys, **api: Any) -> Gatekeeper:
    return Gatekeeper(settings(**api), lambda: known)


def bearer(key: str) -> list[bytes]:
    return [f"Bearer {key}".encode()]


@pytest.mark.parametrize(("host", "expected"), [("127.0.0.1", True), ("::1", True), ("localhost", True)])
def test_this_machine(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "example.org"])
def test_beyond_this_machine(host: str) -> None:
    assert not is_loopback(host)
    assert needs_keys(settings(host=host))


def test_keys_are_needed_unless_embedded_and_on_loopback() -> None:
    assert not needs_keys(Settings())
    assert needs_keys(settings(keys="required"))
    server = {"mode": "server", "url": "http://localhost:6333"}
    assert needs_keys(Settings.model_validate({"index": server}))
    distributed = {"index": server, "queue": {"url": "redis://localhost"}, "state": {"url": "postgresql://localhost"}}
    assert needs_keys(Settings.model_validate(distributed))


def test_a_service_that_needs_keys_and_has_none_says_how_to_mend_it(keys: Keys) -> None:
    require_a_key(Settings(), lambda: keys)
    require_a_key(settings(keys="required", bootstrap_key=BOOTSTRAP_KEY), lambda: keys)
    with pytest.raises(ConfigurationError, match="strata keys create"):
        require_a_key(settings(host="0.0.0.0"), lambda: keys)
    made, _ = keys.create("acme", "first", ["admin"])
    require_a_key(settings(host="0.0.0.0"), lambda: keys)
    keys.revoke(made.id)
    with pytest.raises(ConfigurationError):
        require_a_key(settings(host="0.0.0.0"), lambda: keys)


async def test_where_no_key_is_needed_one_that_is_sent_counts_all_the_same(keys: Keys) -> None:
    _, secret = keys.create("acme", "reader", ["ask"])
    guard = gate(keys)
    assert await guard.admit([], HERE) == OWNER
    assert (await guard.admit(bearer(secret), HERE)).tenant == "acme"
    with pytest.raises(UnauthenticatedError):
        await guard.admit(bearer("sk-unknown"), HERE)


async def test_the_bootstrap_key_administers_the_default_tenant(keys: Keys) -> None:
    guard = gate(keys, keys="required", bootstrap_key=BOOTSTRAP_KEY)
    assert await guard.admit(bearer(BOOTSTRAP_KEY), HERE) == BOOTSTRAP
    assert BOOTSTRAP.tenant == "default"
    with pytest.raises(UnauthenticatedError):
        await guard.admit(bearer(BOOTSTRAP_KEY + "b"), HERE)


async def test_what_is_no_bearer_key_is_refused(keys: Keys) -> None:
    _, secret = keys.create("acme", "reader", ["ask"])
    guard = gate(keys, keys="required")
    good = bearer(secret)[0]
    for sent in ([], [b""], [b"Bearer"], [b"Bearer "], [b"Basic " + good[7:]], [good, good], [b"Bearer \xff\xfe"]):
        with pytest.raises(UnauthenticatedError):
            await guard.admit(sent, HERE)
    assert (await guard.admit([b"bearer   " + good[7:] + b" "], HERE)).tenant == "acme"


async def test_a_key_is_held_to_its_own_rate_else_to_the_configured_one(keys: Keys) -> None:
    _, slow = keys.create("acme", "slow", ["ask"], rate_per_minute=2)
    _, usual = keys.create("acme", "usual", ["ask"])
    guard = gate(keys, rate_per_minute=4)
    for secret, rate in ((slow, 2), (usual, 4)):
        for _ in range(rate):
            await guard.admit(bearer(secret), HERE)
        with pytest.raises(RateLimitedError) as refused:
            await guard.admit(bearer(secret), HERE)
        assert refused.value.retry_after_s
        assert 1 <= refused.value.retry_after_s <= 60


async def test_an_address_has_so_many_wrong_tries_and_keys_in_use_go_on(keys: Keys) -> None:
    _, known = keys.create("acme", "known", ["ask"])
    guard = gate(keys, keys="required")
    await guard.admit(bearer(known), HERE)
    for _ in range(WRONG_PER_MINUTE):
        with pytest.raises(UnauthenticatedError):
            await guard.admit(bearer(f"strata_{'0' * 16}_{'x' * 43}"), HERE)
    with pytest.raises(RateLimitedError):
        await guard.admit(bearer(f"strata_{'0' * 16}_{'x' * 43}"), HERE)
    with pytest.raises(RateLimitedError):
        await guard.admit([], HERE)
    assert (await guard.admit(bearer(known), HERE)).tenant == "acme"
    with pytest.raises(UnauthenticatedError):
        await guard.admit([], "192.0.2.7")


async def test_many_addresses_take_bounded_memory(keys: Keys) -> None:
    guard = gate(keys, keys="required")
    rates = guard._rates
    for number in range(MAX_ADDRESSES + 50):
        await rates.count_wrong(f"10.0.{number // 250}.{number % 250}")
    assert len(rates._addresses.storage) <= MAX_ADDRESSES + 1


async def test_addresses_of_one_ipv6_network_are_one(keys: Keys) -> None:
    rates = gate(keys, keys="required")._rates
    for number in range(WRONG_PER_MINUTE):
        await rates.count_wrong(f"2001:db8::{number:x}")
    with pytest.raises(RateLimitedError):
        await rates.count_wrong("2001:db8::ffff")
    await rates.count_wrong("2001:db8:0:1::1")


async def test_keys_that_cannot_be_read_are_not_called_wrong(keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(_: str) -> None:
        raise StateUnavailableError("gone")

    monkeypatch.setattr(keys, "find", away)
    with pytest.raises(StateUnavailableError):
        await gate(keys, keys="required").admit(bearer(f"strata_{'0' * 16}_{'x' * 43}"), HERE)


async def test_many_requests_at_once_are_counted_exactly(keys: Keys) -> None:
    _, secret = keys.create("acme", "busy", ["ask"], rate_per_minute=20)
    guard = gate(keys)
    outcomes = await asyncio.gather(*(guard.admit(bearer(secret), HERE) for _ in range(50)), return_exceptions=True)
    assert sum(not isinstance(each, Exception) for each in outcomes) == 20
