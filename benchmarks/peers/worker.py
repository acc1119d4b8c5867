"""Runs one system: a command a line on standard input, a reply a line on what was standard output, both JSON.

Usage: python worker.py NAME      with the Python of the system's own environment

Commands: `open` (api_base, encoder, top_k, work), `empty`, `add` (chunks: path of JSON lines, encoder: real, none or
kept), `ask` (question), `about`. No address but loopback can be reached: attempts fail, and `about` names them.
"""

import importlib
import json
import os
import sys
import time
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

LOOPBACK = {"127.0.0.1", "::1", "localhost", ""}
DEAD_PROXY = "http://127.0.0.1:9"
"""For libraries that open sockets without Python: nothing listens there."""

blocked: list[str] = []


def stay_home() -> None:
    """Blocks every address but loopback, for good."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        os.environ[name] = os.environ[name.upper()] = DEAD_PROXY
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = "127.0.0.1,localhost"

    def audit(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "socket.connect" and isinstance(arguments[1], tuple):
            host = str(arguments[1][0])
        elif event == "socket.getaddrinfo":
            host = arguments[0].decode() if isinstance(arguments[0], bytes) else str(arguments[0] or "")
        else:
            return
        if host not in LOOPBACK:
            blocked.append(host)
            raise ConnectionRefusedError(f"{host} is not loopback")

    sys.addaudithook(audit)


def main() -> None:
    """Serves until standard input ends."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints must not come between the replies
    stay_home()
    worker = Worker(sys.argv[1])
    for line in sys.stdin:
        command = json.loads(line)
        name = command.pop("do")
        try:
            reply = getattr(worker, name)(**command)
        except Exception as error:
            import traceback

            traceback.print_exc()
            reply = {"error": f"{type(error).__name__}: {error}"}
        replies.write(json.dumps(reply) + "\n")
        replies.flush()
    worker.close()


class Worker:
    """The commands."""

    def __init__(self, name: str) -> None:
        from systems.base import EncoderClock

        self._name = name
        self._clock = EncoderClock()
        self._system: Any = None

    def open(self, api_base: str, encoder: str, top_k: int, work: str) -> dict[str, Any]:
        """Imports the system and loads its models."""
        from systems.base import Options

        started = time.perf_counter()
        self._system = importlib.import_module(f"systems.{self._name}").SYSTEM
        self._work = Path(work)
        self._system.open(Options(api_base, encoder, top_k, self._work), self._clock)
        return {"seconds": time.perf_counter() - started}

    def empty(self) -> dict[str, Any]:
        """Begins a new index."""
        self._system.empty()
        return {}

    def add(self, chunks: str, encoder: str, kept: str | None = None) -> dict[str, Any]:
        """Indexes chunks; `kept` names the file that vectors are kept in."""
        import numpy as np
        from systems.base import Chunk

        listed = [Chunk(**json.loads(line)) for line in Path(chunks).read_text("utf-8").splitlines()]
        self._clock.mode, before = encoder, self._clock.seconds
        if kept and Path(kept).exists():
            with np.load(kept, allow_pickle=False) as file:
                self._clock.kept = dict(zip(file["texts"].tolist(), file["vectors"], strict=True))
        known = len(self._clock.kept)
        started, busy = time.perf_counter(), time.process_time()
        self._system.add(listed)
        seconds, cpu_s = time.perf_counter() - started, time.process_time() - busy
        self._clock.mode = "real"
        if kept and len(self._clock.kept) > known:
            texts, vectors = list(self._clock.kept), np.stack(list(self._clock.kept.values()))
            np.savez(kept, texts=np.array(texts), vectors=vectors)
        self._clock.kept = {}
        return {
            "seconds": seconds,
            "cpu_s": cpu_s,
            "encoder_s": self._clock.seconds - before,
            "chunks": len(listed),
        }

    def ask(self, question: str) -> dict[str, Any]:
        """Answers a question."""
        before, started, busy = self._clock.seconds, time.perf_counter(), time.process_time()
        answered = self._system.ask(question)
        seconds, cpu_s = time.perf_counter() - started, time.process_time() - busy
        model_s = self._clock.seconds - before if answered.model_s is None else answered.model_s
        return {**asdict(answered), "seconds": seconds, "cpu_s": cpu_s, "model_s": model_s}

    def about(self) -> dict[str, Any]:
        """Versions, and the addresses that something tried to reach."""
        import platform

        return {
            "python": platform.python_version(),
            "packages": {name: _version(name) for name in self._system.packages},
            "blocked": sorted(set(blocked)),
        }

    def close(self) -> None:
        """Closes the system."""
        if self._system is not None:
            self._system.close()


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:  # Strata run from a checkout; the result's provenance names the commit
        return None


if __name__ == "__main__":
    main()
