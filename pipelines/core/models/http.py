"""LiteLLM's HTTP clients, kept to the addresses that the configuration names and to one request a call."""

import asyncio
from typing import Any
from weakref import WeakKeyDictionary

import httpx

_LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=64)


class LoopClient(httpx.AsyncClient):
    """The client of the OpenAI kind of provider: one connection pool per event loop, and no redirects.

    It opens as many connections as there are requests: how many questions run at a time is bounded elsewhere, and a
    stream holds its connection until it ends.

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
            pool = self._pools.setdefault(loop, httpx.AsyncClient(limits=_LIMITS))
        return await pool.send(request, **{**kwargs, "follow_redirects": False})

    async def close_pool(self) -> None:
        """Closes the connections of the running loop; the next request opens new ones."""
        pool = self._pools.pop(asyncio.get_running_loop(), None)
        if pool is not None:
            await pool.aclose()


def tame(handler: Any) -> None:
    """Changes LiteLLM's handler class, which serves the other providers: no redirects, no hidden second request.

    LiteLLM has no setting for either. Idempotent.
    """
    if getattr(handler.create_client, "_strata", False):
        return
    original = handler.create_client

    def create_client(self: Any, *args: Any, **kwargs: Any) -> httpx.AsyncClient:
        client: httpx.AsyncClient = original(self, *args, **kwargs)
        client.follow_redirects = False
        return client

    async def fail(self: Any, *args: Any, **kwargs: Any) -> None:
        raise  # noqa: PLE0704  # called while LiteLLM handles a connection error: raises that on

    create_client._strata = True  # type: ignore[attr-defined]  # marks the class as done
    handler.create_client = create_client
    handler.single_connection_post_request = fail
