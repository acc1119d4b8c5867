"""One question on its way: its deadline, its listener, its running receipt."""

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Self

from opentelemetry.trace import get_current_span

from pipelines.core.deadline import Deadline
from pipelines.core.events import Emit, ignore
from pipelines.core.tasks import TraceOf
from pipelines.core.tracing import note, span
from pipelines.core.types import Receipt, Stage, StageReceipt

Observe = Callable[[StageReceipt], None]
"""Hears of each stage as it ends, also where the question fails later. Must not raise."""


class Session:
    """What the stages of one question share besides their typed inputs. Not shared between questions.

    The receipt grows as stages end, so that an error half-way still tells what was spent.

    Args:
        max_cost_usd: What all stages together may cost; `None` where nothing bounds it.
        observe: Hears of each stage as it ends.
        trace: Given where the tasks of the small stages are recorded.

    Attributes:
        id: The id that the answer will have.
    """

    def __init__(
        self,
        deadline: Deadline,
        emit: Emit = ignore,
        *,
        max_cost_usd: float | None = None,
        observe: Observe = ignore,
        trace: TraceOf | None = None,
    ) -> None:
        self.id = trace.question_id if trace else str(uuid.uuid4())
        self.trace = trace
        self.deadline = deadline
        self.emit = emit
        self._observe = observe
        self._max_cost_usd = max_cost_usd
        self._started = time.perf_counter()
        self._stages: list[StageReceipt] = []

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self  # Haystack copies each component's inputs; a session is one thing

    @contextmanager
    def stage(self, name: Stage) -> Iterator[None]:
        """What a stage does is a span of the question's trace. Its receipt is recorded inside."""
        with span(name, {"strata.stage": name}):
            yield

    def record(self, receipt: StageReceipt) -> None:
        """Adds a stage's receipt."""
        self._stages.append(receipt)
        self._observe(receipt)
        note(
            get_current_span(),
            {
                "strata.tier": receipt.tier,
                "strata.model": receipt.model,
                "strata.calls": receipt.usage.calls,
                "strata.tokens_in": receipt.usage.tokens_in,
                "strata.tokens_out": receipt.usage.tokens_out,
                "strata.cost_usd": receipt.usage.cost_usd,
                "strata.fallback": bool(receipt.fallback),  # its reason may quote what a provider said
            },
        )

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
