"""One request to a provider: its span, its word to the circuit breaker, and its figures once it has ended."""

import time

from opentelemetry.trace import Status, StatusCode

from pipelines.core.breaker import Breaker
from pipelines.core.models.check import provider_of
from pipelines.core.models.values import Failure, ModelCall, Observe
from pipelines.core.settings import ModelEntry
from pipelines.core.tracing import note, open_span
from pipelines.core.types import Usage

PATIENCE_S = 5.0
"""A provider that brought nothing in so long counts as failing, however soon the question had to end."""
LONGEST_PAUSE_S = 300.0
"""Bound on what a provider's `Retry-After` is believed: a probe every five minutes costs nothing."""

LEFT = Failure("unavailable", "given up")


class Call:
    """Measures from its making to `end`. `answered` and `failed` tell the breaker, each at most once."""

    def __init__(self, entry: ModelEntry, breaker: Breaker, observe: Observe) -> None:
        self._tier, self._breaker, self._observe = entry.model_name, breaker, observe
        self._started = time.perf_counter()
        model = entry.litellm_params.model.partition("/")[2] or entry.litellm_params.model
        self._span = open_span(
            f"chat {model}",
            {
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": provider_of(entry),
                "gen_ai.request.model": model,
                "strata.tier": entry.model_name,
            },
            kind="client",
        )

    @property
    def seconds(self) -> float:
        """Since the request began."""
        return time.perf_counter() - self._started

    def answered(self) -> None:
        """The provider began to answer."""
        self._breaker.succeeded()

    def failed(self, failure: Failure, *, blameless: bool) -> None:
        """The provider did not answer; ends the call.

        Args:
            blameless: It had too little time to.
        """
        if failure.kind != "unavailable":
            self._breaker.succeeded()  # it is there, and does not like the request
        elif blameless:
            self._breaker.abandoned()
        else:
            after_s = failure.retry_after_s
            self._breaker.failed(retry_after_s=None if after_s is None else min(after_s, LONGEST_PAUSE_S))
        self.end(Usage(calls=failure.calls, cost_usd=failure.cost_usd), failure)

    def left(self) -> None:
        """Nobody waits for the answer any more; ends the call."""
        self._breaker.abandoned()
        self.end(Usage(calls=1, cost_usd=None), LEFT)

    def end(self, usage: Usage, failure: Failure | None = None) -> None:
        """Ends the call.

        Args:
            usage: What the request took.
            failure: Why it brought no answer, or no whole one.
        """
        note(
            self._span,
            {
                "gen_ai.usage.input_tokens": usage.tokens_in,
                "gen_ai.usage.output_tokens": usage.tokens_out,
                "strata.cost_usd": usage.cost_usd,
            },
        )
        outcome = "left" if failure is LEFT else failure.kind if failure else "ok"
        if failure:
            note(self._span, {"error.type": outcome})
            self._span.set_status(Status(StatusCode.ERROR))
        self._span.end()
        spent = usage.model_copy(update={"model_ms": self.seconds * 1000})
        self._observe(ModelCall(self._tier, outcome, spent))
