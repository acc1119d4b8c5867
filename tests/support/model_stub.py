"""A real OpenAI-compatible server on loopback that counts what it serves and misbehaves on request.

Tokens are words separated by blanks, so that a test can work out every count by hand.
"""

import json
import socket
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

HANG_S = 30.0


@dataclass(frozen=True)
class Reply:
    """A proper answer. Streamed word by word, `interval_s` apart; `usage=False` leaves the figures out of a stream."""

    text: str
    finish_reason: str = "stop"
    interval_s: float = 0.0
    usage: bool = True


@dataclass(frozen=True)
class Status:
    """An HTTP error, with optional headers (`Retry-After`, `Location`)."""

    code: int
    message: str = "the stub says no"
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Hang:
    """Streams `text`, then says nothing more; without text not even the status line comes."""

    text: str = ""


@dataclass(frozen=True)
class Raw:
    """Status 200 with any body, for broken JSON and wrong content types."""

    body: str
    content_type: str = "application/json"


@dataclass(frozen=True)
class Cut:
    """Streams `text`, then ends without a finish reason: by dropping the connection, or `clean` with a proper end."""

    text: str
    clean: bool = False


@dataclass(frozen=True)
class Drop:
    """Closes the connection without a word."""


Behaviour = Reply | Status | Hang | Raw | Cut | Drop


@dataclass
class Request:
    """One request as it arrived, and how it went. `gone` is set when the client left before the end."""

    model: str
    messages: list[dict[str, str]]
    body: dict[str, Any]
    headers: dict[str, str]
    tokens_in: int
    tokens_out: int = 0
    gone: threading.Event = field(default_factory=threading.Event)

    @property
    def prompt(self) -> str:
        """The last message."""
        return self.messages[-1]["content"] if self.messages else ""


Responder = Callable[[Request], Behaviour]


def count(text: str) -> int:
    """The stub's tokens: words separated by blanks."""
    return len(text.split())


class ModelStub:
    """The server. `script` queues behaviours for a model; when the queue is empty, `on` decides, or a plain reply."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self._lock = threading.Lock()
        self._queues: dict[str, deque[Behaviour | Responder]] = defaultdict(deque)
        self._responders: dict[str, Responder] = {}
        self.stopping = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.stub = self
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._refusing = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._refusing.bind(("127.0.0.1", 0))  # bound and never listening: every connection is refused

    @property
    def url(self) -> str:
        """The `api_base` to configure."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    @property
    def refusing_url(self) -> str:
        """An `api_base` where nothing listens, kept free for the stub's lifetime."""
        return f"http://127.0.0.1:{self._refusing.getsockname()[1]}/v1"

    def script(self, model: str, behaviours: Iterable[Behaviour | Responder]) -> None:
        """Queues behaviours for the next calls of a model, one a call."""
        with self._lock:
            self._queues[model].extend(behaviours)

    def on(self, model: str, responder: Responder) -> None:
        """Answers every unscripted call of a model from its messages."""
        self._responders[model] = responder

    def reset(self) -> None:
        """Forgets requests, scripts and responders, as if it had just begun."""
        with self._lock:
            self.requests.clear()
            self._queues.clear()
            self._responders.clear()

    def calls(self, model: str | None = None) -> list[Request]:
        """Requests so far, in order of arrival."""
        with self._lock:
            return [request for request in self.requests if model in (None, request.model)]

    def tokens_in(self, model: str | None = None) -> int:
        """Prompt tokens of all requests that were answered with a completion."""
        return sum(request.tokens_in for request in self.calls(model) if request.tokens_out)

    def tokens_out(self, model: str | None = None) -> int:
        """Completion tokens sent."""
        return sum(request.tokens_out for request in self.calls(model))

    def behaviour(self, request: Request) -> Behaviour:
        """Takes down a request and decides what becomes of it."""
        with self._lock:
            self.requests.append(request)
            queue = self._queues[request.model]
            chosen = queue.popleft() if queue else self._responders.get(request.model, _plain)
        return chosen(request) if callable(chosen) else chosen

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self._refusing.close()


def _plain(request: Request) -> Behaviour:
    return Reply("fine")


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = True
    request_queue_size = 128  # the default of 5 resets connections when many come at once
    stub: ModelStub


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else every answer waits 40 ms for the client's delayed acknowledgement
    server: _Server

    def log_message(self, format: str, *args: object) -> None:
        """Keeps test output quiet."""

    def handle(self) -> None:
        self.connection.settimeout(0.1)
        self.close_connection = True
        # A kept-alive connection is polled, so that the server can stop while a client holds one open.
        while not self.server.stub.stopping.is_set():
            try:
                first = self.connection.recv(1, socket.MSG_PEEK)
            except TimeoutError:
                continue
            except OSError:
                return
            if not first:
                return
            self.connection.settimeout(5)
            self.handle_one_request()
            if self.close_connection:
                return
            self.connection.settimeout(0.1)

    def do_GET(self) -> None:
        models = sorted({request.model for request in self.server.stub.calls()})
        self._json(200, {"object": "list", "data": [{"id": name, "object": "model"} for name in models]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        messages = body.get("messages", [])
        request = Request(
            model=body["model"],
            messages=messages,
            body=body,
            headers={name.lower(): value for name, value in self.headers.items()},
            tokens_in=sum(count(message["content"]) for message in messages),
        )
        behaviour = self.server.stub.behaviour(request)
        try:
            self._perform(behaviour, request)
        except (BrokenPipeError, ConnectionResetError):
            request.gone.set()
            self.close_connection = True

    def _perform(self, behaviour: Behaviour, request: Request) -> None:
        match behaviour:
            case Status():
                error = {"message": behaviour.message, "type": "stub", "code": str(behaviour.code)}
                self._json(behaviour.code, {"error": error}, behaviour.headers)
            case Raw():
                self._send(200, behaviour.content_type, behaviour.body.encode())
            case Reply() if request.body.get("stream"):
                self._stream(behaviour, request)
            case Reply():
                request.tokens_out = count(behaviour.text)
                self._pause(behaviour.interval_s, request)
                self._json(200, _completion(behaviour, request))
            case Hang():
                if behaviour.text:
                    self._begin_stream(request)
                    self._words(behaviour.text, request)
                self._pause(HANG_S, request)
                self.close_connection = True
            case Drop():
                self.close_connection = True
            case Cut():
                self._begin_stream(request)
                self._words(behaviour.text, request)
                if behaviour.clean:
                    self._chunk("")
                self.close_connection = True

    def _stream(self, reply: Reply, request: Request) -> None:
        self._begin_stream(request)
        self._words(reply.text, request, reply.interval_s)
        self._event(_delta(request, {}, reply.finish_reason))
        if reply.usage and (request.body.get("stream_options") or {}).get("include_usage"):
            self._event({**_delta(request, {}, None), "choices": [], "usage": _usage(request)})
        self._chunk("data: [DONE]\n\n")
        self._chunk("")

    def _begin_stream(self, request: Request) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self._event(_delta(request, {"role": "assistant", "content": ""}, None))

    def _words(self, text: str, request: Request, interval_s: float = 0.0) -> None:
        for position, word in enumerate(text.split()):
            self._event(_delta(request, {"content": word if position == 0 else f" {word}"}, None))
            request.tokens_out += 1
            self._pause(interval_s, request)

    def _pause(self, seconds: float, request: Request) -> None:
        """Waits, noticing at once that the client left or that the stub stops."""
        end = time.monotonic() + seconds
        self.connection.settimeout(0.01)
        while time.monotonic() < end and not self.server.stub.stopping.is_set():
            try:
                if self.connection.recv(1, socket.MSG_PEEK) == b"":
                    raise BrokenPipeError
            except TimeoutError:
                continue
        self.connection.settimeout(5)

    def _event(self, payload: dict[str, Any]) -> None:
        self._chunk(f"data: {json.dumps(payload)}\n\n")

    def _chunk(self, text: str) -> None:
        data = text.encode()
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    def _json(self, status: int, payload: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        self._send(status, "application/json", json.dumps(payload).encode(), headers)

    def _send(self, status: int, content_type: str, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


def _usage(request: Request) -> dict[str, int]:
    return {
        "prompt_tokens": request.tokens_in,
        "completion_tokens": request.tokens_out,
        "total_tokens": request.tokens_in + request.tokens_out,
    }


def _completion(reply: Reply, request: Request) -> dict[str, Any]:
    message = {"role": "assistant", "content": reply.text}
    return {
        "id": "stub",
        "object": "chat.completion",
        "created": 0,
        "model": request.model,
        "choices": [{"index": 0, "message": message, "finish_reason": reply.finish_reason}],
        "usage": _usage(request),
    }


def _delta(request: Request, delta: dict[str, str], finish_reason: str | None) -> dict[str, Any]:
    return {
        "id": "stub",
        "object": "chat.completion.chunk",
        "created": 0,
        "model": request.model,
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}],
    }
