"""Converter processes: a file that hangs, eats memory or crashes its parser takes only one of them down.

Plain subprocesses rather than `multiprocessing`, whose spawned children run the parent's main module again.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path

from indexing.convert.base import ConvertedDocument, SourceFile
from indexing.convert.cleaning import PIECE_CHARS
from indexing.convert.scratch import Scratch
from indexing.convert.sniff import Format
from pipelines.core import errors
from pipelines.core.errors import DocumentError, DocumentTimeoutError, DocumentTooLargeError, MalformedDocumentError
from pipelines.core.settings import ConvertSettings

MAX_JOBS = 200  # a worker is replaced after so many files, so that a leaking parser cannot grow for ever

_ERRORS = {
    kind.code: kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, DocumentError)
}


class WorkerProcess:
    """One converter process, which serves one file at a time."""

    def __init__(self, settings: ConvertSettings) -> None:
        self._timeout_s = settings.timeout_s
        self.jobs = 0
        paths = os.pathsep.join(path or os.curdir for path in sys.path)
        self._process = subprocess.Popen(  # noqa: S603  # our own interpreter and module
            [sys.executable, "-m", "indexing.convert.worker", settings.model_dump_json()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": paths, "PYTHONIOENCODING": "utf-8"},
            text=True,
            encoding="utf-8",
            start_new_session=True,  # Ctrl-C in a terminal reaches the parent alone, which then ends its workers
        )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def usable(self) -> bool:
        """Whether it can take another file."""
        return self._process.poll() is None and self.jobs < MAX_JOBS

    def run(self, request: dict[str, str]) -> dict[str, object]:
        """The worker's reply to a request. Ends the worker where there is none.

        Raises:
            DocumentTimeoutError: it took longer than `timeout_s`.
            MalformedDocumentError: the worker died.
        """
        self.jobs += 1
        expired = threading.Event()

        def expire() -> None:
            expired.set()
            self._process.kill()

        timer = threading.Timer(self._timeout_s, expire)
        timer.daemon = True
        try:
            timer.start()  # Ctrl-C may come in here: then nothing is to be left behind either
            reply = self._exchange(json.dumps(request))
        except BaseException:  # KeyboardInterrupt above all: a worker with half a conversation is of no use
            self.close()
            raise
        finally:
            timer.cancel()
        if reply:
            return dict(json.loads(reply))
        self.close()
        if expired.is_set():
            raise DocumentTimeoutError(f"Reading the file took longer than {self._timeout_s:g} s (convert.timeout_s).")
        raise MalformedDocumentError("Reading the file crashed its parser: the file is damaged or hostile.")

    def _exchange(self, request: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(request + "\n")
            self._process.stdin.flush()
            return self._process.stdout.readline()
        except BrokenPipeError:
            return ""

    def kill(self) -> None:
        """End the process; whoever waits for its reply is told that it died."""
        self._process.kill()

    def wait(self) -> None:
        """Wait until the process is gone."""
        self._process.wait()

    def close(self) -> None:
        """End the process and wait until it is gone."""
        self.kill()
        self.wait()
        for pipe in (self._process.stdout, self._process.stdin):
            if pipe is not None:
                try:
                    pipe.close()
                except BrokenPipeError:
                    continue


class WorkerPool:
    """Up to `settings.workers` converter processes, started when needed. Usable from several threads."""

    def __init__(self, settings: ConvertSettings) -> None:
        self._settings = settings
        self._slots = threading.BoundedSemaphore(settings.workers)
        self._lock = threading.Lock()
        self._idle: list[WorkerProcess] = []
        self._busy: set[WorkerProcess] = set()
        self._scratch: Scratch | None = None
        self._closed = False

    def warm_up(self) -> None:
        """Start a process, so that the first file does not wait for it."""
        with self._lock:
            if not self._idle:
                self._idle.append(WorkerProcess(self._settings))

    def convert(self, source: SourceFile, kind: Format) -> ConvertedDocument:
        """Convert a file in another process; its text lies in a temporary file until it is read.

        Raises:
            DocumentError: of the class and with the reason that the worker found.
        """
        target = self._target()
        path = str(source.path.absolute())
        request = {"path": path, "name": source.name, "format": kind.value, "target": str(target)}
        try:
            with self._slots:
                reply = self._run(request)
            if "error" in reply:
                raise _ERRORS.get(str(reply["error"]), DocumentError)(str(reply["detail"]))
        except BaseException:
            target.unlink(missing_ok=True)
            raise
        metadata = reply["metadata"]
        assert isinstance(metadata, dict)
        return ConvertedDocument(
            title=str(reply["title"]), parts=_read(target), paged=bool(reply["paged"]), metadata=metadata
        )

    def _run(self, request: dict[str, str]) -> dict[str, object]:
        worker = self._take()
        try:
            reply = worker.run(request)
        except MalformedDocumentError:
            if worker.jobs == 1 or self._closed:
                raise
            self._drop(worker)  # an earlier file may have left it broken: this one gets a process of its own
            worker = self._start()
            reply = worker.run(request)
        finally:
            self._drop(worker)
        if reply.get("error") == DocumentTooLargeError.code:
            worker.close()  # its memory is as large as it may get
        else:
            with self._lock:
                self._idle.append(worker)
        return reply

    def _target(self) -> Path:
        with self._lock:
            if self._scratch is None:
                self._scratch = Scratch()
                # Also where nobody comes to call `close`: an interrupt, a script that just ends.
                weakref.finalize(self, self._scratch.remove)
        handle, name = tempfile.mkstemp(dir=self._scratch.path, suffix=".md")
        os.close(handle)
        return Path(name)

    def _take(self) -> WorkerProcess:
        with self._lock:
            worker = self._idle.pop() if self._idle else None
            if worker is not None and worker.usable:
                self._busy.add(worker)
                return worker
        if worker is not None:
            worker.close()
        return self._start()

    def _start(self) -> WorkerProcess:
        worker = WorkerProcess(self._settings)
        with self._lock:
            self._busy.add(worker)
        return worker

    def _drop(self, worker: WorkerProcess) -> None:
        with self._lock:
            self._busy.discard(worker)

    def close(self) -> None:
        """End all processes, also those at work, and remove texts that nobody read."""
        with self._lock:
            self._closed = True
            for worker in self._busy:
                worker.kill()
            for worker in self._idle:
                worker.close()
            self._idle.clear()
            if self._scratch is not None:
                self._scratch.remove()
                self._scratch = None


def _read(path: Path) -> Iterator[str]:
    """The text of a temporary file in pieces that end at a line's end; the file is removed after."""
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            while lines := stream.readlines(PIECE_CHARS):
                yield "".join(lines)
    finally:
        path.unlink(missing_ok=True)
