"""What every part of a process stands on: the settings, the figures, and the order in which things are closed."""

import threading
from collections.abc import Callable
from functools import cached_property, wraps
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

from pipelines.core.settings import Settings
from services.config import config_version
from services.telemetry.metrics import Metrics


class _Closes(Protocol):
    def close(self) -> None: ...


T = TypeVar("T")
C = TypeVar("C", bound=_Closes)


class Parts:
    """Builds parts when they are first needed and closes them, the last one first.

    Building one reads nothing and loads nothing. Use it as a context manager, or call `close`.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.config_version = config_version(settings)
        self._opening: dict[str, threading.RLock] = {}
        self._closers: list[Callable[[], None]] = []

    @cached_property
    def metrics(self) -> Metrics:
        """The figures of this process."""
        return Metrics(self.config_version)

    def _closing(self, part: C) -> C:
        self._closers.append(part.close)
        return part

    def _built(self, name: str) -> bool:
        return name in self.__dict__

    def close(self) -> None:
        """Closes what was opened. Idempotent."""
        while self._closers:
            self._closers.pop()()

    def __enter__(self) -> Self:
        """Gives the parts, to be closed on leaving."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes."""
        self.close()


def opened_once(build: Callable[[Any], T]) -> cached_property[T]:
    """A part that threads must not open twice: whoever asks meanwhile waits for the one that is being opened.

    Each part has a lock of its own: with one for all, two parts that need each other's could wait for ever.
    """
    name = build.__name__

    @wraps(build)
    def opened(parts: Parts) -> T:
        with parts._opening.setdefault(name, threading.RLock()):
            if name not in parts.__dict__:
                parts.__dict__[name] = build(parts)
            part: T = parts.__dict__[name]
            return part

    return cached_property(opened)
