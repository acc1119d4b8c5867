"""The values of a model call."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from pydantic import BaseModel

from pipelines.core.types import Usage, Value

T = TypeVar("T", bound=BaseModel)


class Message(Value):
    """One message of a prompt."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class Completion(Generic[T]):
    """A structured answer.

    Attributes:
        usage: Every request that the answer took, failed ones included.
        model: The LiteLLM model that answered, provider prefix included.
        fallback: Why another entry than the tier's own answered; empty when its own did.
    """

    value: T
    usage: Usage
    model: str
    fallback: str = ""


@dataclass(frozen=True, slots=True)
class Tokens:
    """What one request took. `estimated` when counted here because the provider gave no figures."""

    tokens_in: int
    tokens_out: int
    cost_usd: float | None
    estimated: bool = False

    def usage(self) -> Usage:
        """As the usage of one call; its time is kept elsewhere."""
        return Usage(calls=1, tokens_in=self.tokens_in, tokens_out=self.tokens_out, cost_usd=self.cost_usd)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a request brought no answer.

    Attributes:
        kind: `unavailable` may pass; `rejected` will not; `output` is an answer that is none.
        reason: For a person, free of credentials.
        retry_after_s: How long the provider asks to be left alone.
        calls: 1 when the request left this process, else 0.
        cost_usd: 0 where the provider refused before it worked, `None` where it may have billed.
    """

    kind: Literal["unavailable", "rejected", "output"]
    reason: str
    retry_after_s: float | None = None
    calls: int = 1
    cost_usd: float | None = 0.0


@dataclass(frozen=True, slots=True)
class Allowance:
    """What one request, all its tries together, may cost, and how large each is at most.

    Attributes:
        tokens_in: Estimated tokens of the prompt.
    """

    left_usd: float
    tokens_in: int
    max_tokens_out: int

    def pays(self, price: tuple[float, float] | None, spent_usd: float | None) -> bool:
        """Whether one more try is paid for, whatever it writes. An unknown price is not: that would be a guess."""
        if price is None or spent_usd is None:
            return False
        most = spent_usd + self.tokens_in * price[0] + self.max_tokens_out * price[1]
        return most <= self.left_usd * (1 + 1e-9)  # sums of floats are off in the last place


@dataclass(frozen=True, slots=True)
class ModelCall:
    """One request to a provider, once it has ended, whatever became of the question.

    Attributes:
        tier: The entry that was called; a fallback counts for itself.
        outcome: `ok`, the kind of the failure, or `left` where nobody waited for the end.
    """

    tier: str
    outcome: Literal["ok", "unavailable", "rejected", "output", "left"]
    usage: Usage


Observe = Callable[[ModelCall], None]
"""Hears of each request to a provider. Must not raise."""


def unobserved(_: ModelCall) -> None:
    """The `Observe` of a caller who keeps no figures."""


KeyState = Literal["present", "missing", "not needed", "from the machine"]


@dataclass(frozen=True, slots=True)
class TierStatus:
    """What `strata config check` says of an entry.

    Attributes:
        address: Where its requests go; `in process` for the encoder and extractive kinds.
        local: Whether nothing leaves this machine.
        key: `from the machine` where the provider takes its cloud identity, which only a call can prove.
        missing: Environment variables that would hold the key, when it is missing.
    """

    name: str
    model: str
    provider: str
    address: str
    local: bool
    key: KeyState
    missing: tuple[str, ...] = ()
    fallbacks: tuple[str, ...] = ()
