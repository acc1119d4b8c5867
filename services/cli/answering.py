"""One batch of questions from the command line: handed in once, answered here or by workers, written as it comes."""

import hashlib
import json
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Self

from pipelines.core.access import OWNER
from pipelines.core.errors import InvalidRequestError, StrataError
from pipelines.core.state import Job, QuestionResult, QuestionStatus
from services.api.batch_body import QuestionLines, refused
from services.api.results import fields_of_result
from services.cli.progress import Waits, progress

if TYPE_CHECKING:
    from services.runtime import Runtime

CHUNK = 1024 * 1024
PAGE = 50
POLL_S = 0.3
LONGEST_PAUSE_S = 10.0


@dataclass(frozen=True, slots=True)
class Summary:
    """What became of the questions, those of earlier runs included."""

    total: int
    answered: int
    failed: int
    seconds: float


class Answering:
    """Answers the questions of a file into another.

    Args:
        out: `None` is standard output.
    """

    def __init__(self, runtime: "Runtime", file: Path, out: Path | None) -> None:
        self._runtime, self._file, self._out = runtime, file, out
        self._anew = False
        self._started = time.monotonic()
        self._stop = threading.Event()
        self._failure: StrataError | None = None
        self._thread = threading.Thread(target=self._answer, name="strata-answers", daemon=True)

    def __enter__(self) -> Self:
        """Gives the batch."""
        return self

    def __exit__(self, *_: object) -> None:
        """Gives back what is not answered yet."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()

    def accept(self, *, again: bool, retry_failed: bool) -> None:
        """Keeps the questions, or finds them kept by an earlier run.

        Raises:
            InvalidRequestError: lines are wrong; the first is named.
        """
        settings, batches = self._runtime.settings, self._runtime.batch_ledger
        lines = QuestionLines(
            OWNER,
            self._runtime.asking.check,
            max_questions=settings.batch.max_questions,
            max_line=settings.api.max_question_bytes,
        )
        digest = hashlib.sha256()
        with lines, refused(), self._file.open("rb") as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
                lines.feed(chunk)
            lines.end()
            once = None if again else lines.once(f"strata answers {digest.hexdigest()}")
            self._job = batches.accept(OWNER.tenant, lines, once=once)
        if retry_failed:
            batches.retry(self._job.id, OWNER.tenant)
            self._anew = True

    def work(self) -> Summary:
        """Answers, or has workers answer, and writes each result when those before it are written.

        Raises:
            StrataError: the batch cannot be answered now.
        """
        if self._runtime.settings.distributed:
            self._runtime.nudge("answers", self._job.total)
        else:
            self._thread.start()
        total = self._job.total
        with _Results(self._out, anew=self._anew) as out, progress("Answering", total, things="questions") as shown:
            for _ in range(min(out.last + 1, total)):
                shown.advance()
            for result in self._results(out.last):
                out.write(result)
                shown.advance()
        done = self._job_now()
        return Summary(
            total=total,
            answered=done.counts[QuestionStatus.ANSWERED],
            failed=total - done.counts[QuestionStatus.ANSWERED],
            seconds=time.monotonic() - self._started,
        )

    def _results(self, after: int) -> Iterator[QuestionResult]:
        waits = Waits()
        while True:
            page = self._runtime.batch_ledger.results(self._job.id, OWNER.tenant, after=after, limit=PAGE)
            if not page:
                return
            for result in page:
                if not result.final:
                    break
                after = result.ordinal
                yield result
            if page[-1].ordinal != after:
                if self._failure is not None:
                    raise self._failure
                if self._runtime.settings.distributed:
                    waits.tell(self._job_now())
                time.sleep(POLL_S)

    def _job_now(self) -> Job:
        return self._runtime.batch_ledger.job(self._job.id, OWNER.tenant)

    def _answer(self) -> None:
        """The worker of this process."""
        pause_s = POLL_S
        while not self._stop.is_set():
            try:
                self._runtime.batches.turn(self._stop)
                pause_s = POLL_S
            except StrataError as error:
                pause_s = min(LONGEST_PAUSE_S, 2 * pause_s)
                if not error.retryable:
                    self._failure = error
                    return
            if self._job_now().finished:
                return
            self._stop.wait(pause_s)


class _Results:
    """A file of results that grows by whole lines.

    Args:
        anew: Writes it from its beginning.

    Attributes:
        last: Ordinal of the last result that is in it; -1 where it is empty.
    """

    def __init__(self, path: Path | None, *, anew: bool) -> None:
        self._path, self._anew = path, anew
        self.last = -1

    def __enter__(self) -> Self:
        """Opens it behind its last whole line: a run that was killed may have left half of one."""
        self._file: BinaryIO
        if self._path is None:
            self._file = sys.stdout.buffer
            return self
        self._file = self._path.open("ab+")
        try:
            self._file.truncate(0 if self._anew else self._whole())
        except BaseException:
            self._file.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Closes it."""
        self._file.flush()
        if self._path is not None:
            self._file.close()

    def write(self, result: QuestionResult) -> None:
        """Adds a result."""
        self._file.write(json.dumps(fields_of_result(result)).encode() + b"\n")
        self._file.flush()

    def _whole(self) -> int:
        """Bytes of the lines that are whole."""
        self._file.seek(0)
        length = 0
        for line in self._file:
            if not line.endswith(b"\n"):
                break
            self.last = self._ordinal(line, self.last + 1)
            length += len(line)
        return length

    def _ordinal(self, line: bytes, expected: int) -> int:
        try:
            ordinal = json.loads(line)["ordinal"]
        except (ValueError, TypeError, KeyError):
            ordinal = None
        if ordinal != expected:
            raise InvalidRequestError(f"{self._path} holds something else than the results of this batch.")
        return expected
