"""The model that all systems call: an OpenAI-compatible server on loopback that counts calls, tokens and its own time.

Tokens are those of one tokenizer, the encoder's WordPiece, for every system: a common measure and nobody's bill.
"""

import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from benchmarks.peers.writer import UnknownPromptError, Writer, Written
from tests.support.model_stub import Behaviour, ModelStub, Reply, Request, Status

LARGE, SMALL = "large", "small"


@dataclass(frozen=True)
class Call:
    """One call; `began` and `ended` are of the stub's own thinking, in seconds of `time.perf_counter`."""

    model: str
    tokens_in: int
    tokens_out: int
    began: float
    ended: float
    written: Written | None


class Model:
    """The server, running inside a `with` block."""

    def __init__(self, encoder: Path) -> None:
        from tokenizers import Tokenizer

        self._tokenizer = Tokenizer.from_file(str(encoder / "tokenizer.json"))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._lock = threading.Lock()
        self._calls: list[Call] = []
        self._writer: Writer | None = None
        self._stub = ModelStub()
        for name in (LARGE, SMALL):
            self._stub.on(name, self._respond)

    @property
    def url(self) -> str:
        """The `api_base` to configure."""
        return self._stub.url

    def writes_as(self, writer: Writer) -> None:
        """From now on this writer answers."""
        self._writer = writer

    def taken(self) -> list[Call]:
        """The calls since the last time, in the order of their end."""
        with self._lock:
            calls, self._calls = self._calls, []
        return calls

    def _respond(self, request: Request) -> Behaviour:
        assert self._writer
        began = time.perf_counter()
        written: Written | None = None
        behaviour: Behaviour
        try:
            written = self._writer.write(request.messages)
            behaviour = Reply(written.text)
        except UnknownPromptError as error:
            behaviour = Status(400, str(error))
        tokens_in = self._tokens(message["content"] for message in request.messages)
        tokens_out = self._tokens([written.text]) if written else 0
        with self._lock:
            self._calls.append(Call(request.model, tokens_in, tokens_out, began, time.perf_counter(), written))
        return behaviour

    def _tokens(self, texts: Iterable[str]) -> int:
        return sum(len(self._tokenizer.encode(text, add_special_tokens=False).ids) for text in texts)

    def __enter__(self) -> Self:
        """Starts serving."""
        self._stub.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        """Stops serving."""
        self._stub.__exit__()


def busy_s(calls: Sequence[Call]) -> float:
    """Seconds in which at least one of the calls was worked on."""
    total, until = 0.0, float("-inf")
    for call in sorted(calls, key=lambda each: each.began):
        total += max(0.0, call.ended - max(call.began, until))
        until = max(until, call.ended)
    return total
