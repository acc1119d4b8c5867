"""How long a request may still take."""

import math
import time
from dataclasses import dataclass
from typing import Self

from pipelines.core.errors import DeadlineExceededError


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment on the monotonic clock of this process; `at` is infinite where nothing bounds the request."""

    at: float

    @classmethod
    def after(cls, seconds: float) -> Self:
        """The moment `seconds` from now."""
        return cls(time.monotonic() + seconds)

    @classmethod
    def never(cls) -> Self:
        """A moment that does not come."""
        return cls(math.inf)

    @property
    def expired(self) -> bool:
        """Whether the moment has passed."""
        return self.remaining() <= 0

    def remaining(self) -> float:
        """Seconds left, never below zero."""
        return max(0.0, self.at - time.monotonic())

    def bounded(self, seconds: float) -> float:
        """The shorter of `seconds` and what is left."""
        return min(seconds, self.remaining())

    def check(self, what: str) -> None:
        """Stops work that would come too late.

        Raises:
            DeadlineExceededError: the moment has passed; the detail names `what`.
        """
        if self.expired:
            raise DeadlineExceededError(f"The deadline passed before {what}; allow more time or ask for less.")
