"""Fixtures for every test: the network guard, the model stub, and the servers of `tests.support.servers`."""

import ipaddress
import logging
import signal
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.model_stub import ModelStub

pytest_plugins = ["tests.support.servers", "tests.support.qdrant_server", "tests.support.leftovers"]


signal.signal(signal.SIGINT, signal.default_int_handler)  # children of a shell's background job would ignore Ctrl-C


class NetworkBlockedError(ConnectionError):
    """A test tried to reach an address that it may not reach."""


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@pytest.fixture(autouse=True)
def blocked_addresses(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Blocks the network: nothing but Unix sockets, and loopback in tests marked `network`.

    An attempt raises where it is made and fails the test at its end, so that code which swallows the error is caught.
    """
    attempts: list[str] = []
    loopback = request.node.get_closest_marker("network") is not None

    def allow(host: object) -> None:
        name = host.decode() if isinstance(host, bytes) else str(host)
        if not (loopback and _is_loopback(name)):
            attempts.append(name)
            raise NetworkBlockedError(f"this test may not reach {name}")

    def guard(name: str, address_at: int) -> None:
        original = getattr(socket.socket, name)

        def guarded(self: socket.socket, *args: Any) -> Any:
            if self.family in (socket.AF_INET, socket.AF_INET6) and len(args) > abs(address_at) - 1:
                allow(args[address_at][0])
            return original(self, *args)

        monkeypatch.setattr(socket.socket, name, guarded)

    resolve = socket.getaddrinfo

    def guarded_resolve(host: Any, *args: Any, **kwargs: Any) -> Any:
        if host:
            allow(host)
        return resolve(host, *args, **kwargs)

    guard("connect", 0)
    guard("connect_ex", 0)
    guard("sendto", -1)
    monkeypatch.setattr(socket, "getaddrinfo", guarded_resolve)
    yield attempts
    if attempts:
        pytest.fail(f"the test tried to reach {', '.join(dict.fromkeys(attempts))}")


@pytest.fixture(autouse=True)
def logs_as_before() -> Iterator[None]:
    """Undoes what the command line does to the log of its process, when a test runs it in this one."""
    before = logging.root.manager.disable
    yield
    logging.disable(before)


@pytest.fixture
def model_stub() -> Iterator[ModelStub]:
    """An OpenAI-compatible server on loopback; use it in tests marked `network`."""
    with ModelStub() as stub:
        yield stub
