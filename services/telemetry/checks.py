"""What a process stands on, looked at: each part by itself, all at once, none for long."""

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from dataclasses import dataclass

from pipelines.core.errors import StrataError
from pipelines.core.settings import ROLES, STAGES
from services.loop import started_threads
from services.runtime import Runtime

LIMIT_S = 2.0
"""A part that has not answered by then counts as away."""
KEPT_S = 1.0
"""Findings serve everyone who asks within so long, so that probes cost the same however many there are."""


@dataclass(frozen=True, slots=True)
class Finding:
    """How a part is, in a few words without hosts and folders: whoever probes needs no key."""

    ok: bool
    detail: str


Look = Callable[[], Finding]
"""Looks at a part. A `StrataError` that it raises is told by its code."""


class Checks:
    """Looks at every part at a time, and never at one that still owes its last answer. Safe to share between threads.

    Args:
        looks: By name of the part.
    """

    def __init__(self, looks: Mapping[str, Look]) -> None:
        self._looks = looks
        self._threads = started_threads(len(looks), "strata-check")
        self._running: dict[str, Future[Finding]] = {}
        self._lock = threading.Lock()
        self._found: Mapping[str, Finding] = {}
        self._found_at = -KEPT_S

    def __call__(self) -> Mapping[str, Finding]:
        """The findings, at most `KEPT_S` old. Takes `LIMIT_S` at most."""
        with self._lock:
            if time.monotonic() - self._found_at < KEPT_S:
                return self._found
            for name, look in self._looks.items():
                if name not in self._running or self._running[name].done():
                    self._running[name] = self._threads.submit(_find, look)
            wait(self._running.values(), timeout=LIMIT_S)
            self._found = {
                name: running.result() if running.done() else Finding(False, "no_answer")
                for name, running in self._running.items()
            }
            self._found_at = time.monotonic()
            return self._found

    def close(self) -> None:
        """Ends the threads; one that still waits for an answer ends by itself."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _find(look: Look) -> Finding:
    try:
        return look()
    except StrataError as error:
        return Finding(False, error.code)
    except Exception as error:  # the boundary of a probe: whatever it is, the part does not work
        return Finding(False, type(error).__name__)


# --- The parts -----------------------------------------------------------------------------------------------------


def index(runtime: Runtime) -> Finding:
    """Whether the index answers."""
    info = runtime.store.info()
    return Finding(True, f"{info.mode}, {info.passages} passages")


def state(runtime: Runtime) -> Finding:
    """Whether the state database answers."""
    runtime.database.ping()
    return Finding(True, "answers")


def blobs(runtime: Runtime) -> Finding:
    """Whether the blob store answers."""
    runtime.blobs.exists(f"sha256/{'0' * 64}")
    return Finding(True, "answers")


def models(runtime: Runtime) -> Finding:
    """Whether no stage's model is left alone, its fallbacks included."""
    if away := runtime.stages.away():
        return Finding(False, f"left alone for a moment: {', '.join(away)}")
    stages = runtime.settings.stages
    return Finding(True, ", ".join(f"{stage}: {stages.of(stage)}" for stage in STAGES))


def workers(runtime: Runtime) -> Finding:
    """Whether some worker process takes the tasks of each stage; the other roles may be left out, or scaled to none."""
    alive = {role for worker in runtime.fleet.workers() for role in worker.roles}
    missing = [role for role in ROLES if role not in alive]
    if not missing:
        return Finding(True, "alive")
    return Finding(not set(missing) & _STAGE_ROLES, f"none for {', '.join(missing)}")


_STAGE_ROLES = frozenset({"plan", "prune", "cite"})
