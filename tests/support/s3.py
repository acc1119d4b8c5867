"""S3 over real HTTP on loopback: moto's server, which keeps its objects in this process, and a line that can be cut."""

import contextlib
import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pydantic import SecretStr

from tests.support.process import free_port

BUCKET = "test"
KEY, SECRET = "key-of-the-test", "hidden-secret"


class S3Server:
    """Starts and stops on one port; what it holds stays."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._server: Any = None

    def options(self, *, port: int | None = None, **changes: str) -> dict[str, SecretStr]:
        """fsspec options, for the server itself or what stands at another port."""
        values = {"key": KEY, "secret": SECRET, "region": "us-east-1", "endpoint_url": self.url}
        if port is not None:
            values["endpoint_url"] = f"http://127.0.0.1:{port}"
        return {name: SecretStr(value) for name, value in (values | changes).items()}

    def start(self) -> None:
        from moto.server import ThreadedMotoServer

        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=self.port, verbose=False)
        self._server.start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.stop()
            self._server = None

    def check_keys(self, wanted: bool) -> None:
        """From now on refuses keys that it does not know, which is all of them; or takes any, as it begins."""
        from moto import settings
        from moto.core.responses import ActionAuthenticatorMixin

        ActionAuthenticatorMixin.request_count = 0
        settings.INITIAL_NO_AUTH_ACTION_COUNT = 0 if wanted else float("inf")

    def client(self) -> Any:
        """Boto's own client, to look at what lies there."""
        import boto3

        return boto3.client(
            "s3",
            endpoint_url=self.url,
            aws_access_key_id=KEY,
            aws_secret_access_key=SECRET,
            region_name="us-east-1",
        )

    def keys(self, prefix: str = "") -> list[str]:
        """What lies in the bucket."""
        pages = self.client().get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
        return [item["Key"] for page in pages for item in page.get("Contents", [])]


@contextmanager
def s3_server() -> Iterator[S3Server]:
    """A running server with an empty bucket `test`."""
    server = S3Server()
    server.start()
    try:
        server.client().create_bucket(Bucket=BUCKET)
        yield server
        server.client()._endpoint.http_session.close()
    finally:
        server.stop()
        from moto.s3.models import s3_backends

        s3_backends.reset()  # moto keeps objects in globals


class Line:
    """A TCP line to a port of this machine. Once `cut_after` bytes went out on it, it is cut, for ever."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._sockets: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.cut_after: int | None = None
        self.silent = False
        self._sent = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        for each in (self._listener, *self._sockets):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._target))
                self._sockets += [client, server]
                threading.Thread(target=self._pump, args=(client, server, True), daemon=True).start()
                threading.Thread(target=self._pump, args=(server, client, False), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, out: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                if self.silent:
                    continue
                if out and self.cut_after is not None:
                    self._sent += len(data)
                    if self._sent > self.cut_after:
                        break
                target.sendall(data)
        for each in (source, target):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
