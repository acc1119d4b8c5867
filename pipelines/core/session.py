"""One question on its way: its deadline, its listener, its running receipt."""

import time
from typing import Any, Self

from pipelines.core.deadline import Deadline
from pipelines.core.events import Emit, ignore
from pipelines.core.types import Receipt, StageReceipt


class Session:
    """What the stages of one question share besides their typed inputs. Not shared between questions.

    The receipt grows as stages end, so that an error half-way still tells what was spent.

    Args:
        max_cost_usd: What all stages together may cost; `None` where nothing bounds it.
    """

    def __init__(self, deadline: Deadline, emit: Emit = ignore, *, max_cost_usd: float | None = None) -> None:
        self.deadline = deadline
        self.emit = emit
        self._max_cost_usd = max_cost_usd
        self._started = time.perf_counter()
        self._stages: list[StageReceipt] = []

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self  # Haystack copies each component's inputs; a session is one thing

    def record(self, receipt: StageReceipt) -> None:
        """Adds a stage's receipt."""
        self._stages.append(receipt)

    @property
    def cost_left_usd(self) -> float | None:
        """What may still be spent; nothing once a price was unknown, `None` where nothing bounds it."""
        if self._max_cost_usd is None:
            return None
        spent = self.receipt().total.cost_usd
        return 0.0 if spent is None else max(0.0, self._max_cost_usd - spent)

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
