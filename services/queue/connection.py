"""Connections to Redis from an event loop, every wait bounded."""

import asyncio
from typing import TYPE_CHECKING

from pipelines.core.errors import QueueUnavailableError
from pipelines.core.settings import QueueSettings

if TYPE_CHECKING:
    from redis.asyncio import Redis

CONNECTIONS = 8
AGAIN_S = 0.5


def connect(settings: QueueSettings, *, blocks_s: float = 0.0) -> "Redis":
    """A client that opens connections as it needs them. Close it with `aclose`, in the loop that used it.

    Args:
        blocks_s: How long its commands may block on purpose.
    """
    from redis.asyncio import BlockingConnectionPool, Redis
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff

    pool = BlockingConnectionPool.from_url(
        settings.url.get_secret_value(),
        max_connections=CONNECTIONS,
        timeout=settings.timeout_s,
        socket_timeout=settings.timeout_s + blocks_s,
        socket_connect_timeout=settings.timeout_s,
        retry=Retry(NoBackoff(), 1),  # a connection may be older than the broker
    )
    return Redis.from_pool(pool)


async def end(task: "asyncio.Task[None]") -> None:
    """Ends a task that uses such a connection.

    Told again and again: redis-py sends with `asyncio.wait_for`, which before Python 3.12 swallows a cancellation that
    comes just as it is done (python/cpython#86296).
    """
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=AGAIN_S)


def failures() -> tuple[type[Exception], ...]:
    """What a call raises when Redis does not do its part."""
    from redis.exceptions import RedisError

    return RedisError, OSError


async def ping(settings: QueueSettings) -> None:
    """Asks Redis for an answer, over a connection of its own.

    Raises:
        QueueUnavailableError: there is none.
    """
    redis = connect(settings)
    try:
        await redis.ping()
    except failures() as error:
        raise QueueUnavailableError(f"The queue could not be reached ({type(error).__name__}).") from None
    finally:
        await redis.aclose()
