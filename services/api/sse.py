"""Server-sent events: typed, kept alive, and stopped when the client leaves."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, TypeVar

from fastapi import Request
from fastapi.sse import KEEPALIVE_COMMENT, EventSourceResponse, format_sse_event
from pydantic import BaseModel
from starlette.types import Receive, Scope, Send

T = TypeVar("T")
HEARTBEAT_S = 15.0
MEDIA_TYPE = "text/event-stream"


def described(schema: str) -> dict[str, Any]:
    """The OpenAPI content of a stream whose events hold this schema as JSON, as OpenAPI 3.2 describes such streams."""
    data = {
        "type": "string",
        "contentMediaType": "application/json",
        "contentSchema": {"$ref": f"#/components/schemas/{schema}"},
    }
    event = {"event": {"type": "string"}, "id": {"type": "string"}, "data": data}
    return {MEDIA_TYPE: {"itemSchema": {"type": "object", "required": ["event", "data"], "properties": event}}}


class ClientLeftError(Exception):
    """The client closed the connection before it had its answer."""


class EventStream(EventSourceResponse):
    """Events as a response.

    FastAPI's own way needs a route that does nothing but stream; routes here answer in JSON as well.

    Args:
        close: Called once the response ended, whatever ended it.
    """

    def __init__(self, events: AsyncIterator[bytes], close: Callable[[], object] = lambda: None) -> None:
        # Nginx and its like would hold events back otherwise.
        super().__init__(events, headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"})
        self._close = close

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends events until they end or the client leaves."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._close()


def wanted(request: Request) -> bool:
    """Whether the client asks for events, and not for JSON."""
    accepted = ",".join(request.headers.getlist("accept")).lower()
    return MEDIA_TYPE in accepted and "application/json" not in accepted


def last_id(request: Request) -> str:
    """The id of the last event that the client had before its connection broke; empty where it does not say."""
    return request.headers.get("last-event-id", "").strip()


def encode(event: BaseModel) -> bytes:
    """An event on the wire; its `type` is its name."""
    return format_sse_event(event=getattr(event, "type", None), data_str=event.model_dump_json())


async def drain(queue: "asyncio.Queue[BaseModel | None]") -> AsyncIterator[bytes]:
    """Events as they are put, until `None`, with a comment whenever nothing came for a while."""
    while True:
        try:
            event = await asyncio.wait_for(queue.get(), HEARTBEAT_S)
        except TimeoutError:
            yield KEEPALIVE_COMMENT
            continue
        if event is None:
            return
        yield encode(event)


async def while_connected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The result of some work, which is cancelled when the client leaves.

    Raises:
        ClientLeftError: it did.
    """
    task = asyncio.ensure_future(work)
    watch = asyncio.ensure_future(_until_gone(request))
    try:
        await asyncio.wait({task, watch}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientLeftError
        return task.result()
    finally:
        watch.cancel()
        task.cancel()
        await asyncio.gather(task, watch, return_exceptions=True)


async def _until_gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
