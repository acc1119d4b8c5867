"""One streamed request, as it comes over the wire."""

from collections.abc import Callable
from typing import Any

from pipelines.core.models.values import Tokens


class Wire:
    """Reads LiteLLM's stream: its texts, the finish reason that the provider really sent, and its figures."""

    def __init__(self, stream: Any, measure: Callable[[Any, str], Tokens]) -> None:
        self._stream = stream
        self._measure = measure
        self._text: list[str] = []

    async def next(self) -> str | None:
        """The next piece of text, never empty; `None` at the end."""
        async for chunk in self._stream:
            text = chunk.choices[0].delta.content if chunk.choices else None
            if text:
                self._text.append(text)
                return str(text)
        return None

    @property
    def finish_reason(self) -> str:
        """Why the provider ended; empty when it did not say, which means that the stream was cut."""
        return str(self._stream.received_finish_reason or self._stream.intermittent_finish_reason or "")

    def tokens(self) -> Tokens:
        """What the request has taken so far."""
        figures = [usage for chunk in self._stream.chunks if (usage := getattr(chunk, "usage", None))]
        return self._measure(figures[-1] if figures else None, "".join(self._text))

    async def aclose(self) -> None:
        """Closes the connection, which ends the provider's work. Idempotent."""
        await self._stream.aclose()
