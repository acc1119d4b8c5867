"""What one request may spend on its large call."""

from dataclasses import dataclass

from pipelines.core.types import Limits

MIN_ANSWER_TOKENS = 64
"""A call that leaves less room for the answer is not worth its prompt."""


@dataclass(frozen=True, slots=True)
class Purse:
    """What is left for the large call.

    Attributes:
        cost_left_usd: What earlier stages left of `limits.max_cost_usd`; `None` where nothing bounds it.
        price: Of a prompt and of an answer token in USD; `None` where it is unknown.
    """

    limits: Limits
    cost_left_usd: float | None
    price: tuple[float, float] | None

    def output_room(self, prompt_tokens: int, max_output: int) -> int:
        """Tokens that the answer may have, at most `max_output`; 0 where the call is not to be made.

        A cost limit forbids calls whose price is unknown: keeping it would be a guess.
        """
        room = least = max_output
        if (tokens := self.limits.max_large_tokens) is not None:
            room = min(room, tokens - prompt_tokens)
            least = min(least, max(1, tokens // 4))
        if self.cost_left_usd is not None:
            room = min(room, self._for_money(self.cost_left_usd, prompt_tokens, max_output))
        return room if room >= min(least, MIN_ANSWER_TOKENS) else 0

    def _for_money(self, cost: float, prompt_tokens: int, max_output: int) -> int:
        if self.price is None:
            return 0
        left = cost - prompt_tokens * self.price[0]
        if left < 0:
            return 0
        return int(min(left / self.price[1], max_output)) if self.price[1] else max_output

    @property
    def names(self) -> str:
        """The limits that were set, for a reason."""
        given = self.limits.model_dump(exclude_none=True, exclude={"deadline_ms"})
        return " and ".join(sorted(given))
