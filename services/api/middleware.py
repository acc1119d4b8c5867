"""Around every request: its id, its figures, one line in the log, and an answer whatever happens."""

import logging
import time
import traceback

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.api import problems
from services.api.request_id import HEADER, choose, request_id

logger = logging.getLogger("services.api")


class RequestScope:
    """Middleware, outermost. Logs neither bodies nor query strings nor messages of foreign exceptions."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sets the id, then runs the app."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        own = choose(dict(scope["headers"]).get(HEADER.lower().encode()))
        token = request_id.set(own)
        started = time.perf_counter()
        status = 0

        async def identified(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (HEADER.lower().encode(), own.encode())]
            await send(message)

        try:
            await self._app(scope, receive, identified)
        except Exception as error:
            where = "".join(traceback.format_tb(error.__traceback__))
            logger.error("request %s failed: %s\n%s", own, type(error).__name__, where)
            if not status:  # else the server cuts the response, so that its client does not think it whole
                await problems.unexpected()(scope, receive, identified)
        finally:
            self._account(scope, status, time.perf_counter() - started, own)
            request_id.reset(token)

    def _account(self, scope: Scope, status: int, seconds: float, own: str) -> None:
        route = getattr(scope.get("route"), "path", "unmatched")
        context = getattr(scope["app"].state, "context", None)
        if context is not None:
            context.metrics.requested(scope["method"], route, status, seconds)
        logger.info("%s %s %d %.0f ms %s", scope["method"], route, status, seconds * 1000, own)
