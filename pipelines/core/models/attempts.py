"""Trying again, trying the declared fallbacks, and accounting for every try."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

from pipelines.core.breaker import Breaker
from pipelines.core.deadline import Deadline
from pipelines.core.errors import (
    CostLimitError,
    DeadlineExceededError,
    ModelError,
    ModelOutputError,
    ModelRejectedError,
    ModelUnavailableError,
)
from pipelines.core.jitter import jitter
from pipelines.core.models.call import PATIENCE_S, Call
from pipelines.core.models.client import Client
from pipelines.core.models.values import Allowance, Failure, Observe, Tokens, unobserved
from pipelines.core.settings import ModelEntry
from pipelines.core.types import Usage

R = TypeVar("R")

_FIRST_WAIT_S = 0.2
_LONGEST_WAIT_S = 5.0
_SPREAD_S = 0.25
"""A provider tells everyone the same time to come back: they come spread over so long."""
_ERRORS: dict[str, type[ModelError]] = {
    "unavailable": ModelUnavailableError,
    "rejected": ModelRejectedError,
    "output": ModelOutputError,
}


class Attempts:
    """The tries of one request over a tier's entry and its fallbacks.

    Args:
        breakers: By name of the entry. One whose circuit is open is passed over at once.
        observe: Hears of each request once it has ended.

    Attributes:
        usage: What all tries so far took. A successful one is added by `account`.
        fallback: Why the tier's own entry was left; empty while it was not.
    """

    def __init__(
        self,
        client: Client,
        chain: Sequence[ModelEntry],
        retries: int,
        deadline: Deadline,
        allowance: Allowance | None = None,
        *,
        breakers: Mapping[str, Breaker],
        observe: Observe = unobserved,
    ) -> None:
        self._client = client
        self._chain = chain
        self._retries = retries
        self._deadline = deadline
        self._allowance = allowance
        self._breakers, self._observe = breakers, observe
        self._call: Call | None = None
        self.usage = Usage()
        self.fallback = ""

    async def run(self, call: Callable[[ModelEntry], Awaitable[R]]) -> tuple[R, ModelEntry]:
        """The first success, and the entry that gave it.

        Raises:
            ModelUnavailableError: the entry and its fallbacks could not be reached.
            ModelRejectedError: a provider refused the request; no other is tried, the request itself is wrong.
            ModelOutputError: an answer was none.
            CostLimitError: the next try may cost more than is allowed.
            DeadlineExceededError: the deadline passed first.
        """
        failure = Failure("unavailable", "not tried")
        for entry in self._chain:
            for attempt in range(self._retries + 1):
                if attempt and not await self._wait(entry, attempt, failure):
                    break
                self.check_deadline(entry)
                self._check_cost(entry)
                result = await self._once(entry, call)
                if not isinstance(result, Failure):
                    return result, entry
                failure = result
                self.check_deadline(entry)
                if failure.kind != "unavailable":
                    raise self.error(entry, failure)
            self.fallback = self.fallback or f"{entry.model_name}: {failure.reason}"
        raise self.error(self._chain[-1], failure)

    async def _once(self, entry: ModelEntry, call: Callable[[ModelEntry], Awaitable[R]]) -> R | Failure:
        breaker = self._breakers[entry.model_name]
        try:
            breaker.check()
        except ModelError as error:
            return Failure("unavailable", error.detail, error.retry_after_s, calls=0)
        timeout_s = self._client.timeout_s(entry.model_name)
        running = Call(entry, breaker, self._observe)
        started = time.perf_counter()
        try:
            async with asyncio.timeout(self._deadline.bounded(timeout_s)):
                result = await call(entry)
        except Exception as error:  # LiteLLM lets through whatever its providers' code raises, IndexError included
            failure = self._client.classify(entry.model_name, error)
            impatient = isinstance(error, TimeoutError) and running.seconds < min(PATIENCE_S, timeout_s)
            running.failed(failure, blameless=impatient)
        except BaseException:
            running.left()
            raise
        else:
            running.answered()
            self._call = running
            return result
        finally:
            self.usage += Usage(model_ms=(time.perf_counter() - started) * 1000)
        self.usage += Usage(calls=failure.calls, cost_usd=failure.cost_usd)
        return failure

    def account(self, tokens: Tokens, failure: Failure | None = None) -> None:
        """Adds what the successful try took, once it has ended: whole, or as `failure` says."""
        self.usage += tokens.usage()
        if self._call is not None:
            self._call.end(tokens.usage(), failure)
            self._call = None

    async def _wait(self, entry: ModelEntry, attempt: int, failure: Failure) -> bool:
        """Waits before a retry; false when another entry is quicker, or the deadline leaves too little time."""
        if self._breakers[entry.model_name].open_for_s and (not failure.calls or entry is not self._chain[-1]):
            return False
        wait_s = jitter(min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2 ** (attempt - 1)), 0.5, 1.0)
        if failure.retry_after_s is not None:
            wait_s = failure.retry_after_s + jitter(_SPREAD_S, 0.0, 1.0)
        if wait_s >= self._deadline.remaining():
            return False
        await asyncio.sleep(wait_s)
        return True

    def check_deadline(self, entry: ModelEntry) -> None:
        """Raises DeadlineExceededError, with the usage so far, once the deadline has passed."""
        if self._deadline.expired:
            raise DeadlineExceededError(
                f"{self._who(entry)}: the deadline passed before there was an answer; allow more time.", self.usage
            )

    def _check_cost(self, entry: ModelEntry) -> None:
        if self._allowance and not self._allowance.pays(self._client.price(entry.model_name), self.usage.cost_usd):
            raise CostLimitError(f"{self._who(entry)}: max_cost_usd leaves no room for a call.", self.usage)

    def error(self, entry: ModelEntry, failure: Failure) -> ModelError:
        """The failure as an error that names the tier and the model and carries the usage so far."""
        advice = {
            "unavailable": "try again, or declare `fallbacks` for it.",
            "rejected": "correct its entry in `models`.",
            "output": "try a model that keeps to the form.",
        }[failure.kind]
        reason = failure.reason.rstrip(". ")
        detail = f"{self._who(entry)}: {reason}; {advice}"
        return _ERRORS[failure.kind](detail, self.usage, retry_after_s=failure.retry_after_s)

    def _who(self, entry: ModelEntry) -> str:
        tier = self._chain[0].model_name
        via = "" if entry.model_name == tier else f", fallback `{entry.model_name}`"
        return f"Model `{tier}`{via} ({entry.litellm_params.model})"
