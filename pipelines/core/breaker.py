"""A circuit breaker: a dependency that keeps failing is left alone for a while, so that callers hear of it at once."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from weakref import WeakSet

from pipelines.core.errors import StrataError
from pipelines.core.jitter import jitter

FAILURES = 5
"""Failures in a row that open the circuit."""
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0

_alive: "WeakSet[Breaker]" = WeakSet()
_alive_lock = threading.Lock()


def away() -> dict[str, bool]:
    """Every dependency of this process that has a circuit breaker, by name, and whether it is left alone now."""
    with _alive_lock:
        breakers = list(_alive)
    found: dict[str, bool] = {}
    for breaker in breakers:
        found[breaker.name] = found.get(breaker.name, False) or breaker.open_for_s > 0
    return found


class Breaker:
    """Counts the failures of one dependency. Safe to share between threads and tasks.

    After `failures` in a row every call fails at once until a pause has passed. Then one call is let through: its
    success closes the circuit, its failure doubles the pause.

    Args:
        name: Of the dependency, for the detail of the error and the figures: one of few.
        error: Makes the error of a call that is not let through; takes `detail` and `retry_after_s`.
        clock: Seconds that never go back.
    """

    def __init__(
        self,
        name: str,
        error: Callable[..., StrataError],
        *,
        failures: int = FAILURES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self._error, self._failures, self._clock = error, failures, clock
        self._lock = threading.Lock()
        self._in_a_row = 0
        self._pauses = 0
        self._closed_at = 0.0
        self._probing_until = 0.0
        with _alive_lock:
            _alive.add(self)

    @property
    def open_for_s(self) -> float:
        """Seconds until the next call is let through; 0 while the circuit is closed or nobody probes it."""
        with self._lock:
            return max(0.0, max(self._closed_at, self._probing_until) - self._clock())

    def check(self) -> None:
        """Lets a call through, or raises the error of the dependency. Report what became of it."""
        with self._lock:
            now = self._clock()
            left_s = max(self._closed_at, self._probing_until) - now
            if left_s > 0:
                raise self._error(
                    f"The {self.name} failed several times in a row and is left alone for a moment.",
                    retry_after_s=left_s,
                )
            if self._pauses:  # one probe at a time; the next if this one is never heard of again
                self._probing_until = now + LONGEST_PAUSE_S

    def succeeded(self) -> None:
        """Reports that a call worked."""
        with self._lock:
            self._in_a_row = self._pauses = 0
            self._closed_at = self._probing_until = 0.0

    def failed(self, *, retry_after_s: float | None = None) -> None:
        """Reports that a call failed for the dependency's own reasons.

        Args:
            retry_after_s: What the dependency itself asked for: the circuit opens at once, for so long.
        """
        with self._lock:
            now = self._clock()
            if retry_after_s is None and now < self._closed_at:
                return  # let through before the circuit opened: many at a time must not count as many probes
            self._in_a_row += 1
            self._probing_until = 0.0
            if retry_after_s is None and not self._pauses and self._in_a_row < self._failures:
                return
            pause_s = jitter(min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2**self._pauses), 0.8, 1.2)
            self._pauses += 1
            self._closed_at = now + (pause_s if retry_after_s is None else retry_after_s)

    def abandoned(self) -> None:
        """Reports that a call was given up before it told anything, so that the next one may."""
        with self._lock:
            self._probing_until = 0.0

    @contextmanager
    def calling(self, *failures: type[Exception]) -> Iterator[None]:
        """A call: let through or not, and reported.

        Args:
            failures: Exceptions that mean that the dependency failed. Any other is an answer of a working one.
        """
        self.check()
        try:
            yield
        except Exception as error:
            if isinstance(error, failures):
                self.failed(retry_after_s=getattr(error, "retry_after_s", None))
            else:
                self.succeeded()
            raise
        except BaseException:  # cancelled
            self.abandoned()
            raise
        self.succeeded()
