"""Model tiers: the way from a name in the configuration to an answer."""

from collections.abc import Sequence

from pipelines.core.breaker import Breaker
from pipelines.core.deadline import Deadline
from pipelines.core.errors import ConfigurationError, ModelUnavailableError
from pipelines.core.models.attempts import Attempts
from pipelines.core.models.check import check, describe, is_in_process
from pipelines.core.models.client import Client
from pipelines.core.models.replies import ModelReply, heard
from pipelines.core.models.stream import TextStream
from pipelines.core.models.structured import parse, with_schema
from pipelines.core.models.values import (
    Allowance,
    Completion,
    Failure,
    Message,
    Observe,
    T,
    TierStatus,
    Tokens,
    unobserved,
)
from pipelines.core.models.wire import Wire
from pipelines.core.settings import ModelCallSettings, ModelEntry, StageModels
from pipelines.core.text import estimate_tokens

_FORM_TRIES = 2


class ModelTiers:
    """Calls the models of the configuration. Safe to share between tasks of an event loop.

    A request goes to the tier's own entry, then to that entry's declared fallbacks, in order, and nowhere else.
    Building one is cheap; `warm_up` imports LiteLLM.

    Args:
        observe: Hears of each request once it has ended.

    Attributes:
        breakers: The circuit breaker of each entry, by name. An entry that fails again and again, or whose provider
            says when to come back, is passed over until then.
    """

    def __init__(
        self, entries: Sequence[ModelEntry], settings: ModelCallSettings, *, observe: Observe = unobserved
    ) -> None:
        self._entries = tuple(entries)
        self._settings = settings
        self._observe = observe
        self._remote = {entry.model_name: entry for entry in entries if not is_in_process(entry)}
        self.breakers = {name: Breaker(f"model `{name}`", ModelUnavailableError) for name in self._remote}
        self._client = Client(tuple(self._remote.values()), settings)

    def warm_up(self) -> None:
        """Imports LiteLLM where an entry needs it (2 to 5 s the first time). Idempotent, makes no request."""
        if self._remote:
            self._client.warm_up()

    async def aclose(self) -> None:
        """Closes connections and ends background work. Call it in the loop that made the requests. Idempotent."""
        await self._client.aclose()

    def check(self, stages: StageModels) -> None:
        """Refuses a configuration that cannot work; see `pipelines.core.models.check.check`.

        Raises:
            ConfigurationError: the detail names the entry or stage and how to mend it.
        """
        check(self._entries, stages)

    def describe(self) -> list[TierStatus]:
        """Where each entry's requests go and whether its key is there. Makes no request."""
        return describe(self._entries)

    def price(self, tier: str) -> tuple[float, float] | None:
        """USD of a prompt token and of an answer token of the tier's own entry, or `None` where unknown."""
        self.warm_up()
        return self._client.price(tier)

    async def complete(
        self,
        tier: str,
        messages: Sequence[Message],
        schema: type[T],
        *,
        deadline: Deadline,
        cost_left_usd: float | None = None,
    ) -> Completion[T]:
        """Asks for an answer of a schema. An answer of another form is asked for once more, from the same prompt.

        Args:
            cost_left_usd: No request is made that may cost more than this less what the ones before it cost.

        Raises:
            CostLimitError: `cost_left_usd` does not pay for it, or its price is unknown.
            ModelOutputError: neither answer was of the schema.
            ModelUnavailableError: neither the entry nor a fallback could be reached.
            ModelRejectedError: the provider refused the request, or its content filter withheld the answer.
            DeadlineExceededError: the deadline passed first. Each carries the usage so far.
        """
        allowance = _allowance(cost_left_usd, with_schema(messages, schema), self._settings.max_output_tokens)
        attempts = self._attempts(tier, deadline, allowance)

        async def call(entry: ModelEntry) -> tuple[str, str, Tokens]:
            return await self._client.complete(entry.model_name, messages, schema)

        finish_reason = ""
        for _ in range(_FORM_TRIES):
            (text, finish_reason, tokens), entry = await attempts.run(call)
            value = parse(text, schema)
            heard(
                ModelReply(
                    tier=entry.model_name,
                    model=entry.litellm_params.model,
                    text=text,
                    finish_reason=finish_reason,
                    of_schema=value is not None,
                )
            )
            attempts.account(tokens, None if value is not None else Failure("output", "not of the schema"))
            if value is not None:
                return Completion(value, attempts.usage, entry.litellm_params.model, attempts.fallback)
            if finish_reason == "content_filter":
                raise attempts.error(entry, Failure("rejected", "the provider's content filter withheld the answer"))
        cut = ", cut at `model_calls.max_output_tokens`" if finish_reason == "length" else ""
        raise attempts.error(entry, Failure("output", f"its answer is not of the schema {schema.__name__}{cut}"))

    def stream(
        self,
        tier: str,
        messages: Sequence[Message],
        *,
        deadline: Deadline,
        max_tokens: int,
        temperature: float,
        cost_left_usd: float | None = None,
    ) -> TextStream:
        """Asks for text, piece by piece. The request is made when the first piece is asked for.

        Iterating raises as `complete` does; ModelOutputError means that the stream was cut short.
        """
        attempts = self._attempts(tier, deadline, _allowance(cost_left_usd, messages, max_tokens))

        async def open_wire(entry: ModelEntry) -> Wire:
            return await self._client.open_stream(
                entry.model_name, messages, max_tokens=max_tokens, temperature=temperature
            )

        return TextStream(self._client, attempts, deadline, open_wire)

    def _attempts(self, tier: str, deadline: Deadline, allowance: Allowance | None) -> Attempts:
        return Attempts(
            self._client,
            self._chain(tier),
            self._settings.retries,
            deadline,
            allowance,
            breakers=self.breakers,
            observe=self._observe,
        )

    def away_for_s(self, tier: str) -> float:
        """Seconds for which neither the tier's entry nor a fallback of it will be called; 0 when one may be."""
        return min(self.breakers[entry.model_name].open_for_s for entry in self._chain(tier))

    def _chain(self, tier: str) -> list[ModelEntry]:
        entry = self._remote.get(tier)
        if entry is None:
            raise ConfigurationError(f"`{tier}` is not a model that can be called; declare it under `models`.")
        return [entry, *(self._remote[name] for name in entry.fallbacks if name in self._remote)]


def _allowance(left_usd: float | None, messages: Sequence[Message], max_tokens: int) -> Allowance | None:
    if left_usd is None:
        return None
    return Allowance(left_usd, sum(estimate_tokens(message.content) for message in messages), max_tokens)
