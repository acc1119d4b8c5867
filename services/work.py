"""What a worker process does beyond the stages: it works off what the state database holds.

The queue only says that there is work. Whoever gets that message, or looks by itself every `queue.poll_s`, runs a turn.
"""

import threading
from collections.abc import Callable
from typing import Protocol

from pipelines.core.settings import Role

Work = Callable[[threading.Event], bool]
"""One turn: works until nothing is due, or the event is set, which ends it soon and gives back what is not finished.
Returns whether something waits for a later time. Raises `StrataError` when a dependency cannot be used."""


class Nudge(Protocol):
    """Tells the workers of a role that there is work. Never fails, never blocks for long: the database has the work."""

    def __call__(self, role: Role, items: int = 1) -> None:
        """Nudges.

        Args:
            items: Documents or questions that came; several workers are woken for many.
        """
