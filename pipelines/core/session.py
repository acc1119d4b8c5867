"""One question on its way: its deadline, its listener, its running receipt."""

import time
from typing import Any, Self

from pipelines.core.deadline import Deadline
from pipelines.core.events import Emit, ignore
from pipelines.core.types import Receipt, StageReceipt


class Session:
    """What the stages of one question share besides their typed inputs. Not shared between questions.

    The receipt grows as stages end, so that an error half-way still tells what was spent.
    """

    def __init__(self, deadline: Deadline, emit: Emit = ignore) -> None:
        self.deadline = deadline
        self.emit = emit
        self._started = time.perf_counter()
        self._stages: list[StageReceipt] = []

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self  # Haystack copies each component's inputs; a session is one thing

    def record(self, receipt: StageReceipt) -> None:
        """Adds a stage's receipt."""
        self._stages.append(receipt)

    def receipt(self) -> Receipt:
        """The receipt so far."""
        return Receipt(stages=tuple(self._stages), total_ms=(time.perf_counter() - self._started) * 1000)


class Stopwatch:
    """Milliseconds since it was started."""

    def __init__(self) -> None:
        self._started = time.perf_counter()

    @property
    def ms(self) -> float:
        """Milliseconds so far."""
        return (time.perf_counter() - self._started) * 1000
