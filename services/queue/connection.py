"""Connections to Redis from an event loop, every wait bounded."""

from typing import TYPE_CHECKING

from pipelines.core.settings import QueueSettings

if TYPE_CHECKING:
    from redis.asyncio import Redis

CONNECTIONS = 8


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


def failures() -> tuple[type[Exception], ...]:
    """What a call raises when Redis does not do its part."""
    from redis.exceptions import RedisError

    return RedisError, OSError
