"""An OpenTelemetry collector on loopback: takes traces by OTLP over HTTP, or refuses them."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span


class Collector(ThreadingHTTPServer):
    """Takes spans.

    Attributes:
        status: Its answer.
        paths: Where they were sent.
        bodies: As they came.
        spans: What they held.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status = 200
        self.paths: list[str] = []
        self.bodies: list[bytes] = []
        self.spans: list[Span] = []

    @property
    def names(self) -> list[str]:
        """Of the spans that came, in their order."""
        return [span.name for span in self.spans]

    @property
    def url(self) -> str:
        """To configure."""
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Collector

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        batch = ExportTraceServiceRequest.FromString(body)
        self.server.paths.append(self.path)
        self.server.bodies.append(body)
        self.server.spans.extend(
            span for sent in batch.resource_spans for scope in sent.scope_spans for span in scope.spans
        )
        self.send_response(self.server.status)
        self.send_header("Content-Length", "0")
        self.end_headers()


@contextmanager
def collector() -> Iterator[Collector]:
    """One that runs inside the block."""
    server = Collector()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
