"""Model tiers that answer from a script, for the logic of single stages; the real ones are tested over HTTP."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any

from pydantic import BaseModel

from pipelines.core.models import Completion, Message
from pipelines.core.types import Usage

USAGE = Usage(calls=1, tokens_in=10, tokens_out=5, cost_usd=0.01)


class ScriptedTiers:
    """See `pipelines.core.models.ModelTiers`.

    Attributes:
        replies: The next replies: a value or pieces of text to give, or an error to raise.
        prompts: The messages of each call, in order.
        calls: The keyword arguments of each call.
    """

    def __init__(self, *replies: Any) -> None:
        self.replies = list(replies)
        self.prompts: list[Sequence[Message]] = []
        self.calls: list[dict[str, Any]] = []
        self.token_price: tuple[float, float] | None = None

    def price(self, tier: str) -> tuple[float, float] | None:
        """As set."""
        return self.token_price

    async def complete(
        self, tier: str, messages: Sequence[Message], schema: type[BaseModel], **options: Any
    ) -> Completion[Any]:
        """The next reply."""
        self._note(messages, **options)
        await asyncio.sleep(0)
        reply = self.replies.pop(0)
        if isinstance(reply, Exception):
            raise reply
        return Completion(schema.model_validate(reply), USAGE, f"stub/{tier}")

    def stream(self, tier: str, messages: Sequence[Message], **options: Any) -> "ScriptedStream":
        """A stream of the next reply."""
        self._note(messages, **options)
        return ScriptedStream(f"stub/{tier}", self.replies.pop(0))

    def _note(self, messages: Sequence[Message], **options: Any) -> None:
        self.prompts.append(messages)
        self.calls.append(options)


class ScriptedStream:
    """See `pipelines.core.models.TextStream`."""

    fallback = ""
    usage = USAGE

    def __init__(self, model: str, pieces: Iterable[Any], truncated: bool = False) -> None:
        self.model, self.truncated, self.closed = model, truncated, False
        self._pieces = self._read(pieces)

    async def _read(self, pieces: Iterable[Any]) -> AsyncIterator[str]:
        for piece in pieces:
            await asyncio.sleep(0)
            if isinstance(piece, Exception):
                raise piece
            if piece is TRUNCATED:
                self.truncated = True
            else:
                yield piece

    def __aiter__(self) -> AsyncIterator[str]:
        return self._pieces

    async def aclose(self) -> None:
        """Notes that it was closed."""
        self.closed = True


TRUNCATED = object()
"""As the last piece: the text stops at the token limit."""
