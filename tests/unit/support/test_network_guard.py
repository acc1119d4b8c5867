"""The guard that proves the other tests' silence."""

import socket

import pytest


def test_connecting_raises_and_is_noted(blocked_addresses: list[str]) -> None:
    with socket.socket() as client, pytest.raises(ConnectionError, match=r"may not reach 192\.0\.2\.1"):
        client.connect(("192.0.2.1", 80))
    assert blocked_addresses == ["192.0.2.1"]
    blocked_addresses.clear()  # else this test would fail, as it should anywhere else


def test_loopback_is_blocked_without_the_marker(blocked_addresses: list[str]) -> None:
    with pytest.raises(ConnectionError):
        socket.create_connection(("127.0.0.1", 9), timeout=1)
    assert blocked_addresses == ["127.0.0.1"]
    blocked_addresses.clear()


def test_names_are_not_looked_up(blocked_addresses: list[str]) -> None:
    with pytest.raises(ConnectionError):
        socket.getaddrinfo("models.example", 443)
    assert blocked_addresses == ["models.example"]
    blocked_addresses.clear()


@pytest.mark.network
def test_the_marker_opens_loopback_only(blocked_addresses: list[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname(), timeout=1):
        pass
    with socket.socket() as client, pytest.raises(ConnectionError):
        client.connect_ex(("192.0.2.1", 80))
    assert blocked_addresses == ["192.0.2.1"]
    blocked_addresses.clear()


def test_unix_sockets_work() -> None:
    left, right = socket.socketpair()
    with left, right:
        left.sendall(b"x")
        assert right.recv(1) == b"x"
