"""Streamed text."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Self

from pipelines.core.deadline import Deadline
from pipelines.core.models.attempts import Attempts
from pipelines.core.models.call import LEFT
from pipelines.core.models.client import Client
from pipelines.core.models.values import Failure
from pipelines.core.models.wire import Wire
from pipelines.core.settings import ModelEntry
from pipelines.core.types import Usage


class TextStream:
    """An asynchronous iterator over pieces of text. Read it to its end, or close it: closing ends the cost.

    Retries and fallbacks happen before the first piece only. The attributes are final once the iterator has ended,
    has raised, or was closed.

    Attributes:
        estimated: Whether tokens were counted here because the provider gave no figures.
        model: The LiteLLM model that wrote; empty before the first piece.
        finish_reason: As the provider gave it; empty until then.
    """

    def __init__(
        self,
        client: Client,
        attempts: Attempts,
        deadline: Deadline,
        open_wire: Callable[[ModelEntry], Awaitable[Wire]],
    ) -> None:
        self._client = client
        self._attempts = attempts
        self._deadline = deadline
        self._open_wire = open_wire
        self._pieces = self._read()
        self.estimated = False
        self.model = ""
        self.finish_reason = ""

    @property
    def usage(self) -> Usage:
        """What all requests took so far, the tokens of a stream that was left early included."""
        return self._attempts.usage

    @property
    def fallback(self) -> str:
        """Why another entry than the tier's own wrote; empty when its own did."""
        return self._attempts.fallback if self.model else ""

    @property
    def truncated(self) -> bool:
        """Whether the text stops at the token limit."""
        return self.finish_reason == "length"

    def __aiter__(self) -> Self:
        """Reads on where reading stopped."""
        return self

    async def __anext__(self) -> str:
        """The next piece of text, never empty."""
        return await self._pieces.__anext__()

    async def aclose(self) -> None:
        """Ends the request, closing its connection. Idempotent."""
        await self._pieces.aclose()

    async def _read(self) -> AsyncGenerator[str, None]:
        (wire, piece), entry = await self._attempts.run(self._first)
        self.model = entry.litellm_params.model
        failure: Failure | None = None
        try:
            while isinstance(piece, str):
                yield piece
                piece = await self._next(wire, entry)
            self.finish_reason = wire.finish_reason
            failure = piece or _judge(self.finish_reason)
        except BaseException:
            failure = LEFT
            raise
        finally:
            await wire.aclose()
            self._account(wire, failure)
        if failure is not None:
            self._attempts.check_deadline(entry)
            raise self._attempts.error(entry, failure)

    async def _first(self, entry: ModelEntry) -> tuple[Wire, str | Failure | None]:
        wire = await self._open_wire(entry)
        try:
            return wire, await wire.next()
        except BaseException:
            await wire.aclose()
            raise

    async def _next(self, wire: Wire, entry: ModelEntry) -> str | Failure | None:
        idle_s = self._client.timeout_s(entry.model_name)
        started = time.perf_counter()
        try:
            async with asyncio.timeout(self._deadline.bounded(idle_s)):
                return await wire.next()
        except TimeoutError:
            return Failure("output", f"the stream was cut short, nothing came for {idle_s:g} s")
        except Exception:  # as in `Attempts`: anything may come out of a provider's stream
            return Failure("output", "the stream was cut short, the connection broke")
        finally:
            self._attempts.usage += Usage(model_ms=(time.perf_counter() - started) * 1000)

    def _account(self, wire: Wire, failure: Failure | None) -> None:
        tokens = wire.tokens()
        self.estimated = tokens.estimated
        self._attempts.account(tokens, failure)


def _judge(finish_reason: str) -> Failure | None:
    """What is wrong with the way a stream ended."""
    if not finish_reason:
        return Failure("output", "the stream was cut short, it ended without a finish reason")
    if finish_reason == "content_filter":
        return Failure("rejected", "the provider's content filter withheld the answer")
    return None
