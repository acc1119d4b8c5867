"""The time that the parts of the state database write down and compare."""

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]
"""Gives aware times."""


def utc_now() -> datetime:
    """The time of this machine."""
    return datetime.now(UTC)
