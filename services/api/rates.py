"""How many requests a key may make, over all processes of the service, and how many wrong ones an address."""

import ipaddress
import logging
import time
from typing import Any

from pipelines.core.breaker import Breaker
from pipelines.core.errors import QueueUnavailableError, RateLimitedError
from pipelines.core.settings import Settings

MINUTE_S = 60
WRONG_PER_MINUTE = 60
"""Requests without a valid key from one address before it is told to wait."""
MAX_ADDRESSES = 2000
REDIS_CONNECTIONS = 16
REDIS_TIMEOUT_S = 0.25
"""A count is not worth a longer wait: this process counts for itself then."""

logger = logging.getLogger(__name__)


class Rates:
    """Counts requests in sliding minutes. Used from one event loop.

    The requests of a key are counted in Redis where there is a broker on it, else, and while it is away, in this
    process. Wrong requests are counted in this process only, so that a flood of them stays here.
    """

    def __init__(self, settings: Settings) -> None:
        from limits.aio.storage import MemoryStorage
        from limits.aio.strategies import SlidingWindowCounterRateLimiter

        self._default = settings.api.rate_per_minute
        self._own = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._addresses = MemoryStorage()
        self._wrong = SlidingWindowCounterRateLimiter(self._addresses)
        self._redis = _redis(settings)
        self._shared = SlidingWindowCounterRateLimiter(self._redis) if self._redis else None
        self._breaker = Breaker("rate counter", QueueUnavailableError)

    async def count(self, key_id: str, rate_per_minute: int | None) -> None:
        """Counts a request of a key.

        Args:
            rate_per_minute: The key's own rate.

        Raises:
            RateLimitedError: it made too many; one that is refused does not count.
        """
        rate = rate_per_minute or self._default
        if rate is not None and not await self._count_together(key_id, rate):
            await _hit(self._own, rate, "key", key_id)

    async def _count_together(self, key_id: str, rate: int) -> bool:
        """Counts in Redis; `False` where that cannot be."""
        if self._shared is None:
            return False
        from limits.errors import StorageError

        try:
            with self._breaker.calling(StorageError):
                await _hit(self._shared, rate, "key", key_id)
        except (StorageError, QueueUnavailableError):
            return False
        return True

    async def count_wrong(self, address: str) -> None:
        """Counts a request without a valid key.

        Raises:
            RateLimitedError: the address sent too many.
        """
        if len(self._addresses.storage) > MAX_ADDRESSES:
            await self._addresses.reset()
        await _hit(self._wrong, WRONG_PER_MINUTE, "address", _network(address))

    async def wrong_left(self, address: str) -> bool:
        """Whether the address may send another request without a valid key."""
        return await self._wrong.test(_item(WRONG_PER_MINUTE), "address", _network(address))

    async def aclose(self) -> None:
        """Closes the connections."""
        if self._redis is not None:
            await self._redis.bridge.get_connection().connection_pool.aclose()


def _redis(settings: Settings) -> Any:
    """The storage on the broker; `None` where that is no Redis."""
    url = settings.queue.url.get_secret_value()
    if not url.startswith(("redis://", "rediss://")):
        return None
    from limits.aio.storage import RedisStorage
    from redis.asyncio import BlockingConnectionPool

    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=REDIS_CONNECTIONS,
        timeout=REDIS_TIMEOUT_S,
        socket_timeout=REDIS_TIMEOUT_S,
        socket_connect_timeout=REDIS_TIMEOUT_S,
    )
    return RedisStorage(
        f"async+{url}",
        wrap_exceptions=True,
        implementation="redispy",
        key_prefix=f"{settings.queue.prefix}:rates",
        connection_pool=pool,  # type: ignore[arg-type]  # its documentation says so
    )


def _item(rate: int) -> Any:
    from limits import RateLimitItemPerMinute

    return RateLimitItemPerMinute(rate, namespace="strata")


async def _hit(limiter: Any, rate: int, *names: str) -> None:
    item = _item(rate)
    if await limiter.hit(item, *names):
        return
    stats = await limiter.get_window_stats(item, *names)
    wait_s = min(max(stats.reset_time - time.time(), 1.0), float(MINUTE_S))
    raise RateLimitedError(f"More than {rate} requests a minute; try again in {wait_s:.0f} s.", retry_after_s=wait_s)


def _network(address: str) -> str:
    """What one client may choose its addresses from: a host in IPv4, its /64 in IPv6."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return "unknown"
    if parsed.version == 4 or parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped if parsed.version == 6 else parsed)
    return str(ipaddress.ip_network((parsed.packed[:8] + bytes(8), 64)))
