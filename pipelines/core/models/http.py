"""The HTTP client that LiteLLM's OpenAI-compatible providers share."""

import asyncio
from typing import Any
from weakref import WeakKeyDictionary

import httpx


class LoopClient(httpx.AsyncClient):
    """One connection pool per event loop, and no redirects.

    LiteLLM keys its clients by `id(loop)`, which Python gives to the next loop once one is gone; and its own clients
    follow a redirect to any address, with the prompt, which the configuration did not name.
    """

    def __init__(self) -> None:
        super().__init__()
        self._pools: WeakKeyDictionary[asyncio.AbstractEventLoop, httpx.AsyncClient] = WeakKeyDictionary()

    async def send(self, request: httpx.Request, **kwargs: Any) -> httpx.Response:
        """Sends through the pool of the running loop."""
        loop = asyncio.get_running_loop()
        pool = self._pools.get(loop)
        if pool is None:
            pool = self._pools.setdefault(loop, httpx.AsyncClient())
        return await pool.send(request, **{**kwargs, "follow_redirects": False})

    async def close_pool(self) -> None:
        """Closes the connections of the running loop; the next request opens new ones."""
        pool = self._pools.pop(asyncio.get_running_loop(), None)
        if pool is not None:
            await pool.aclose()
