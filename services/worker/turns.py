"""Turns at what the state database holds: one thread a role, woken by messages and by its own looks."""

import logging
import threading
import traceback
from collections.abc import Callable

from pipelines.core.errors import StrataError
from pipelines.core.jitter import jitter
from pipelines.core.settings import Role
from services.work import Work

LOOK_AGAIN_S = 2.0
"""Longest pause while something waits for a later time."""

LEAST_PAUSE_S = 1.0
"""After a turn that failed, whoever calls for the next one."""

LONGEST_PAUSE_S = 60.0

logger = logging.getLogger(__name__)


class Turns:
    """Takes turns, one after the other, with longer and longer pauses while they fail.

    Args:
        poll_s: Longest pause while they work.
        on_change: Called from the thread when it begins to be busy, and when it ends.

    Attributes:
        busy: Whether a turn is running.
        stop: Once set, a turn begins nothing further, and no other follows.
    """

    def __init__(self, role: Role, work: Work, *, poll_s: float, on_change: Callable[[], None] = lambda: None) -> None:
        self._role, self._work, self._poll_s, self._on_change = role, work, poll_s, on_change
        self._failures = 0
        self._state = threading.Condition()
        self._asked = self._served = 0
        self._waited_for = False
        self._thread = threading.Thread(target=self._run, name=f"strata-{role}", daemon=True)
        self.busy = False
        self.stop = threading.Event()

    @property
    def failing(self) -> bool:
        """Whether the last turn failed as a whole."""
        return self._failures > 0

    @property
    def running(self) -> bool:
        """Whether its thread lives."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Takes the first turn at once: it frees what a killed process held."""
        self._thread.start()

    def wake(self) -> int:
        """Asks for a turn; returns which."""
        with self._state:
            self._asked += 1
            self._state.notify_all()
            return self._asked

    def serve(self) -> None:
        """Asks for a turn and returns once it has ended; at once where another caller waits already.

        So a message is held while its work is done: a worker at work takes no second one, which wakes another worker.
        """
        number = self.wake()
        with self._state:
            if self._waited_for:
                return
            self._waited_for = True
            self._state.wait_for(lambda: self._served >= number or self.stop.is_set())
            self._waited_for = False

    def end(self) -> None:
        """Has the running turn end soon, and no other begin. Returns at once."""
        self.stop.set()
        with self._state:
            self._state.notify_all()

    def join(self, timeout_s: float | None = None) -> bool:
        """Waits for the running turn; returns whether it ended in time."""
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def turn(self) -> float:
        """One turn. Returns the longest pause before the next one in seconds."""
        try:
            waiting = self._work(self.stop)
        except Exception as error:  # the boundary of the process: whatever it is, the next turn may work
            return 0.0 if self.stop.is_set() else self._pause_after(error)
        self._failures = 0
        return min(LOOK_AGAIN_S, self._poll_s) if waiting else self._poll_s

    def _run(self) -> None:
        while not self.stop.is_set():
            asked = self._asked
            self._change(busy=True)
            pause_s = self.turn()
            self._change(busy=False)
            with self._state:
                self._served = asked
                self._state.notify_all()
            if self.failing and self.stop.wait(min(LEAST_PAUSE_S, pause_s)):
                return
            with self._state:
                self._state.wait_for(self._is_due, jitter(pause_s, 0.8, 1.2))

    def _is_due(self) -> bool:
        return self._asked > self._served or self.stop.is_set()

    def _change(self, *, busy: bool) -> None:
        self.busy = busy
        self._on_change()

    def _pause_after(self, error: Exception) -> float:
        self._failures += 1
        pause_s = min(LONGEST_PAUSE_S, 2.0**self._failures)
        if isinstance(error, StrataError):
            pause_s = pause_s if error.retryable else LONGEST_PAUSE_S
            logger.error("`%s` stopped: %s (%s); next try in %g s", self._role, error.detail, error.code, pause_s)
        else:  # the message of a foreign exception may quote a document
            where = "".join(traceback.format_tb(error.__traceback__))
            logger.error("`%s` stopped: %s; next try in %g s\n%s", self._role, type(error).__name__, pause_s, where)
        return pause_s
