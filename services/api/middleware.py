"""Around every request: its id, its trace, its figures, one line in the log, and an answer whatever happens."""

import logging
import time
import traceback

from opentelemetry.trace import INVALID_SPAN, Span, Status, StatusCode
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipelines.core.tracing import REQUEST_ID, from_headers, note, span
from services.api import problems
from services.api.life import Life
from services.api.request_id import HEADER, choose
from services.telemetry.metrics import Metrics

PROBES = frozenset({"/livez", "/readyz", "/metrics"})
_W3C = ("traceparent", "tracestate")

logger = logging.getLogger("services.api")


class RequestScope:
    """Middleware, outermost. Logs neither bodies nor query strings nor messages of foreign exceptions."""

    def __init__(self, app: ASGIApp, *, life: Life, metrics: Metrics) -> None:
        self._app, self._life, self._metrics = app, life, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sets id and trace, then runs the app."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        sent = dict(scope["headers"])
        own = choose(sent.get(HEADER.lower().encode()))
        trace = {name: sent[name.encode()].decode("latin-1") for name in _W3C if name.encode() in sent}
        with from_headers({**trace, REQUEST_ID: own}):
            if scope["path"] in PROBES:
                await self._run(scope, receive, send, own, INVALID_SPAN)
                return
            with self._life.request(), span(scope["method"], kind="server") as current:
                await self._run(scope, receive, send, own, current)

    async def _run(self, scope: Scope, receive: Receive, send: Send, own: str, current: Span) -> None:
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
            self._account(scope, status, time.perf_counter() - started, own, current)

    def _account(self, scope: Scope, status: int, seconds: float, own: str, current: Span) -> None:
        method, route = scope["method"], getattr(scope.get("route"), "path", "unmatched")
        problem = scope.get(problems.SCOPE_KEY)
        self._metrics.requested(method, route, status, seconds, problem)
        level = logging.DEBUG if scope["path"] in PROBES else logging.INFO
        logger.log(level, "%s %s %d %.0f ms %s", method, route, status, seconds * 1000, own)
        if current.is_recording():
            current.update_name(f"{method} {route}")
            note(
                current,
                {
                    "http.request.method": method,
                    "http.route": route,
                    "http.response.status_code": status,
                    "error.type": problem,
                    "strata.request_id": own,
                },
            )
            if status >= 500:
                current.set_status(Status(StatusCode.ERROR))
