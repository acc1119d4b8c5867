"""Forward passes of many threads: shared where they are of like length, short requests before long ones."""

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache

from pipelines.core.encoders.engine import PASSES, Engine, States
from pipelines.core.encoders.pairs import Batch, Window, padded_width

Take = Callable[[Window, States], None]
"""Receives what the engine gives of one window, `(padded tokens, dim)`; may run in any thread, at once for several."""

WORKERS = PASSES + 1
"""While some passes are in the engine, the next is laid out and the last one's results are taken."""
FEW_TOKENS = 4096
"""Windows that come together and are fewer tokens, padded, are what an answer waits for."""
SPREAD_TOKENS = 384
"""From so many tokens on, such windows are spread over passes side by side. Where the engine prepares shapes, each pass
is filled up to this, longest windows first: its width then says how many rows it has. OpenVINO prepares itself anew for
a shape that it does not remember (int8 13 ms, bfloat16 5 ms), and remembers few. 30 questions of nq_gold dev met 48
shapes instead of 83: a question took 3 to 4 % less of the processor, and the process, 60 MiB less memory at the least.
With 256 or 512 tokens, or shortest first, it took more (November 2026)."""
JOIN_TOKENS = 512
"""A pass is filled up to this with rows of other requests."""
SHORT_TOKENS = 32
"""Rows up to this join a pass of shorter ones. Longer ones would make a query wait for the padding that they bring."""


PATIENCE_S = 2.0
"""A request of which no row was taken for so long gets a pass, however many lighter ones come: each second one."""


@dataclass(slots=True, eq=False)
class _Job:
    engine: Engine
    pad_id: int
    take: Take
    weight: int
    most: int
    budget: int = 0
    few: bool = False
    rows: deque[Window] = field(default_factory=deque)
    left: int = 0
    served_at: float = 0.0
    closed: bool = False
    done: Future[None] = field(default_factory=Future)


_Rows = list[tuple[_Job, Window]]


class Scheduler:
    """Takes requests of all threads and engines of a process.

    The lightest request goes first, so that a question overtakes a bulk of passages: it waits for the passes that are
    under way, not for the bulk, which gets on all the same (`PATIENCE_S`). Requests that are under way share passes
    when they use the same engine.
    """

    def __init__(self) -> None:
        self._workers = ThreadPoolExecutor(WORKERS, "strata-encoder")
        self._lock = threading.Lock()
        self._jobs: list[_Job] = []
        self._indulged = False

    def request(self, engine: Engine, pad_id: int, take: Take, *, weight: int, budget: int) -> "Request":
        """Opens a request.

        Args:
            weight: Its size, in characters or whatever all requests measure by.
            budget: Most tokens of a pass, padding included; a longer window goes alone.
        """
        return Request(self, _Job(engine, pad_id, take, weight, budget))

    def add(self, job: _Job, windows: Iterable[Window]) -> None:
        """Has windows worked on."""
        ordered = sorted(windows, key=lambda window: len(window.ids))
        if not ordered:
            return
        with self._lock:
            if job.done.done():  # it failed: `wait` says so
                return
            job.rows.extend(ordered)
            job.left += len(ordered)
            job.few, job.budget = _spread(job)
            if job not in self._jobs:
                job.served_at = time.monotonic()
                self._jobs.append(job)
        for _ in range(WORKERS):
            self._workers.submit(self._work)

    def close(self, job: _Job) -> None:
        """No more windows will come."""
        with self._lock:
            job.closed = True
            self._settle(job)

    def drop(self, job: _Job, error: BaseException) -> None:
        """Ends a job early."""
        with self._lock:
            job.left -= len(job.rows)
            job.rows.clear()
            if not job.done.done():
                job.done.set_exception(error)

    def _work(self) -> None:
        while rows := self._next():
            jobs = list({id(job): job for job, _ in rows}.values())
            try:
                batch = Batch.of([window for _, window in rows], rows[0][0].pad_id)
                for (job, window), states in zip(
                    rows, jobs[0].engine.forward(batch.ids, batch.mask, batch.types), strict=True
                ):
                    job.take(window, states)
            except Exception as error:  # goes to the threads that wait for these rows
                for job in jobs:
                    self.drop(job, error)
            with self._lock:
                for job, _ in rows:
                    job.left -= 1
                for job in jobs:
                    self._settle(job)

    def _next(self) -> _Rows:
        """The rows of the next pass."""
        with self._lock:
            self._jobs = [job for job in self._jobs if job.rows]
            now = time.monotonic()
            ordered = self._ordered(now)
            rows: _Rows = []
            for job in ordered:
                if not rows:
                    _move(job, rows, job.budget, job.budget, longest_first=job.few)
                elif job.engine is ordered[0].engine:
                    longest = max(SHORT_TOKENS, *(len(window.ids) for _, window in rows))
                    _move(job, rows, JOIN_TOKENS, longest)
            for job, _ in rows:
                job.served_at = now
            return rows

    def _ordered(self, now: float) -> list[_Job]:
        """The lightest first; before it, in each second pass at most, the one that has waited too long."""
        ordered = sorted(self._jobs, key=lambda job: job.weight)
        longest = min(ordered, key=lambda job: job.served_at, default=None)
        self._indulged = longest is not None and not self._indulged and now - longest.served_at >= PATIENCE_S
        if longest is not None and self._indulged:
            ordered.remove(longest)
            ordered.insert(0, longest)
        return ordered

    def _settle(self, job: _Job) -> None:
        if job.closed and job.left == 0 and not job.done.done():
            job.done.set_result(None)


def _spread(job: _Job) -> tuple[bool, int]:
    """Whether a job's windows are few and go longest first, and the tokens, padded, of each pass that they make."""
    widest = padded_width(max(len(window.ids) for window in job.rows))
    few = job.engine.prepares_shapes and len(job.rows) * widest < FEW_TOKENS
    share = -(-len(job.rows) // PASSES) * widest
    return few, min(job.most, SPREAD_TOKENS if few else max(SPREAD_TOKENS, share))


class Request:
    """Windows of one caller, in the order in which they become ready."""

    def __init__(self, scheduler: Scheduler, job: _Job) -> None:
        self._scheduler, self._job = scheduler, job

    def add(self, windows: Iterable[Window]) -> None:
        """Has windows worked on, while more may come."""
        self._scheduler.add(self._job, windows)

    def wait(self) -> None:
        """Returns when every window was taken. Raises what the engine or `take` raised."""
        self._scheduler.close(self._job)
        try:
            self._job.done.result()
        except BaseException as error:  # Ctrl-C as well: the process ends with what waits, and that may be minutes
            self._scheduler.drop(self._job, error)
            raise


def _move(job: _Job, rows: _Rows, budget: int, longest: int, *, longest_first: bool = False) -> None:
    """Moves rows of a job into a pass as long as it keeps the budget.

    Rows that came together are in order of length, shortest first.
    """
    width = max((len(window.ids) for _, window in rows), default=0)
    while job.rows:
        width = max(width, len(job.rows[-1 if longest_first else 0].ids))
        if rows and (width > longest or padded_width(width) * (len(rows) + 1) > budget):
            return
        rows.append((job, job.rows.pop() if longest_first else job.rows.popleft()))


def scheduler() -> Scheduler:
    """The scheduler of this process; a forked child has its own."""
    return _of_process(os.getpid())


@cache
def _of_process(pid: int) -> Scheduler:
    return Scheduler()
