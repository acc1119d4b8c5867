"""Finds out who makes a request, from its key alone."""

import asyncio
import hmac
import ipaddress
from collections.abc import Callable, Sequence
from functools import cached_property
from hashlib import sha256

from pipelines.core.access import OWNER, Principal
from pipelines.core.errors import ConfigurationError, RateLimitedError, UnauthenticatedError
from pipelines.core.settings import Settings
from pipelines.core.state import Keys
from services.api.rates import Rates

BOOTSTRAP = Principal(key_id="bootstrap")
"""Whoever presents `api.bootstrap_key`."""


class Gatekeeper:
    """Admits requests. Used from one event loop.

    Args:
        keys: Opens the keys; called with the first key that is presented, in a thread.
    """

    def __init__(self, settings: Settings, keys: Callable[[], Keys]) -> None:
        self._settings, self._open = settings, keys
        self._opened: Keys | None = None
        self._needed = needs_keys(settings)
        bootstrap = settings.api.bootstrap_key
        self._bootstrap = sha256(bootstrap.get_secret_value().encode()).digest() if bootstrap else None

    @cached_property
    def _rates(self) -> Rates:
        return Rates(self._settings)

    async def admit(self, authorization: Sequence[bytes], address: str) -> Principal:
        """Who makes a request.

        Args:
            authorization: Values of its `Authorization` headers.
            address: Where it comes from.

        Raises:
            UnauthenticatedError: there is no key though one is needed, or one that is not valid.
            RateLimitedError: the key made too many requests, or the address too many without a valid one.
            StateUnavailableError: the keys cannot be read.
        """
        if not authorization and not self._needed:
            return OWNER
        principal = await self._principal(authorization, address)
        if principal is None:
            await self._rates.count_wrong(address)
            raise UnauthenticatedError(_WRONG if authorization else _NONE)
        assert principal.key_id is not None
        await self._rates.count(principal.key_id, principal.rate_per_minute)
        return principal

    async def _principal(self, authorization: Sequence[bytes], address: str) -> Principal | None:
        presented = _bearer(authorization)
        if presented is None:
            return None
        if self._bootstrap and hmac.compare_digest(self._bootstrap, sha256(presented).digest()):
            return BOOTSTRAP
        text = presented.decode("ascii", "replace")
        return await self._look_up(text, address)

    async def _look_up(self, presented: str, address: str) -> Principal | None:
        if (keys := self._opened) is None:
            keys = self._opened = await asyncio.to_thread(self._open)
        if (known := keys.remembered(presented)) is not None:
            return known.principal
        if not keys.recognised(presented) and not await self._rates.wrong_left(address):
            raise RateLimitedError("Too many requests without a valid key; try again in a minute.", retry_after_s=60.0)
        found = await asyncio.to_thread(keys.find, presented)
        return None if found is None else found.principal

    async def aclose(self) -> None:
        """Closes the connections."""
        if "_rates" in self.__dict__:
            await self._rates.aclose()


_NONE = "This needs an API key: send it as `Authorization: Bearer …`."
_WRONG = "The API key is not valid: it is unknown, expired or revoked, or not sent as `Authorization: Bearer …`."


def _bearer(authorization: Sequence[bytes]) -> bytes | None:
    if len(authorization) != 1:
        return None
    scheme, _, presented = authorization[0].strip().partition(b" ")
    return presented.strip() if scheme.lower() == b"bearer" else None


def needs_keys(settings: Settings) -> bool:
    """Whether requests need a key: always, unless Strata is embedded and listens on loopback only."""
    embedded = not settings.distributed and settings.index.mode == "embedded"
    return settings.api.keys == "required" or not (embedded and is_loopback(settings.api.host))


def require_a_key(settings: Settings, keys: Callable[[], Keys]) -> None:
    """Passes when nobody needs a key, or somebody can have one.

    Raises:
        ConfigurationError: a key is needed and there is none; the detail says how to make one.
    """
    if needs_keys(settings) and settings.api.bootstrap_key is None and not keys().any_usable():
        raise ConfigurationError(
            f"The API on {settings.api.host} needs API keys, and there is none: make one with `strata keys create "
            "--name admin --scope admin`, or set api.bootstrap_key. Without keys Strata serves this machine alone: "
            "embedded, with api.host 127.0.0.1 and api.keys `auto`."
        )


def is_loopback(host: str) -> bool:
    """Whether an address is reached from this machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
