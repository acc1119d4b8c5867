"""What models replied, word for word, for whoever records a stage. Unless somebody listens, no reply is kept."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from pipelines.core.types import Value

_listener: ContextVar["list[ModelReply] | None"] = ContextVar("replies", default=None)


class ModelReply(Value):
    """One reply that was to be of a schema.

    Attributes:
        tier: The entry that gave it, which may be a fallback.
        model: The LiteLLM model, provider prefix included.
        of_schema: Whether it could be read.
    """

    tier: str
    model: str
    text: str
    finish_reason: str = ""
    of_schema: bool


@contextmanager
def listening() -> Iterator[list[ModelReply]]:
    """Gathers the replies that come while the block runs, in this task and those that it starts, in their order."""
    replies: list[ModelReply] = []
    token = _listener.set(replies)
    try:
        yield replies
    finally:
        _listener.reset(token)


def heard(reply: ModelReply) -> None:
    """A reply came."""
    replies = _listener.get()
    if replies is not None:
        replies.append(reply)
