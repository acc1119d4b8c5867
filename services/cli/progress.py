"""Shows how an ingest goes: a bar on a terminal, a line now and then elsewhere. Always on standard error."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Protocol

from pipelines.core.state import Job, JobState
from services.cli.render import console, duration, line

INTERVAL_S = 5.0


class Progress(Protocol):
    """Hears of each document as it ends."""

    def advance(self, passages: int = 0, total: int | None = None) -> None:
        """Counts one more document, with the passages that it has; `total` corrects how many there are."""


@contextmanager
def progress(what: str, total: int, *, quiet: bool = False, things: str = "documents") -> Iterator[Progress]:
    """Shows the progress of `total` things until left."""
    if quiet or total == 0:
        yield _Silent()
    elif console(stderr=True).is_terminal:
        with _Bar(what, total, things) as bar:
            yield bar
    else:
        yield _Lines(what, total, things)


@contextmanager
def following(what: str, *, quiet: bool = False) -> Iterator[Callable[[int, int], None]]:
    """Shows the progress of something whose end moves: told of each document's passages, and of how many there are."""
    with ExitStack() as stack:
        shown: list[Progress] = []

        def told(passages: int, total: int) -> None:
            if not shown:
                shown.append(stack.enter_context(progress(what, total, quiet=quiet)))
            shown[0].advance(passages, total)

        yield told


class Waits:
    """Tells what a job waits for, whenever that changes."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._told: str | None = None

    def tell(self, job: Job) -> None:
        """Looks at a job."""
        detail = job.detail if job.state in (JobState.WAITING, JobState.RETRYING) else None
        if detail is not None and detail != self._told and not self._quiet:
            line(f"{job.state.value}: {detail}", stderr=True)
        self._told = detail


class _Silent:
    def advance(self, passages: int = 0, total: int | None = None) -> None:
        pass


class _Lines:
    """At most one line in `INTERVAL_S` seconds."""

    def __init__(self, what: str, total: int, things: str) -> None:
        self._what, self._total, self._things = what, total, things
        self._done = self._passages = 0
        self._first = self._told = time.monotonic()

    def advance(self, passages: int = 0, total: int | None = None) -> None:
        self._total = total or self._total
        self._done += 1
        self._passages += passages
        now = time.monotonic()
        if self._done == 1:
            self._first = now  # before it, models were loaded
        if now - self._told >= INTERVAL_S:
            self._told = now
            passed = f", {self._passages:,} passages" if self._passages else ""
            line(f"{self._what}: {self._done}/{self._total} {self._things}{passed}{self._speed(now)}", stderr=True)

    def _speed(self, now: float) -> str:
        if self._done < 2 or now == self._first:
            return ""
        rate = (self._done - 1) / (now - self._first)
        return f", {rate:.1f}/s, about {duration(max(0, self._total - self._done) / rate)} left"


class _Bar:
    def __init__(self, what: str, total: int, things: str) -> None:
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            SpinnerColumn,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )
        from rich.progress import Progress as RichProgress

        self._progress = RichProgress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn(things),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console(stderr=True),
            transient=True,
        )
        self._task = self._progress.add_task(what, total=total, rate="")
        self._passages = 0

    def __enter__(self) -> "_Bar":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def advance(self, passages: int = 0, total: int | None = None) -> None:
        self._passages += passages
        if total is not None:
            self._progress.update(self._task, total=total)
        self._progress.advance(self._task)
        speed = self._progress.tasks[0].finished_speed or self._progress.tasks[0].speed
        parts = [f"{speed:.1f}/s" if speed else "", f"{self._passages:,} passages" if self._passages else ""]
        self._progress.update(self._task, rate=" · ".join(part for part in parts if part))
