"""Who asks: every request is authenticated before anything of its body is read, and each route says what it needs."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import Depends, Request, Security
from fastapi.security import HTTPBearer
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as Connection

from pipelines.core.access import Principal, Scope
from pipelines.core.errors import StrataError
from services.api import problems
from services.api.gatekeeper import Gatekeeper

OPEN = frozenset({"/", "/livez", "/readyz", "/docs", "/openapi.json"})
"""Paths that anybody may ask. They show nothing of a tenant; whatever else there is, known or not, needs a key."""

_PRINCIPAL = "strata.principal"
_BEARER = HTTPBearer(
    scheme_name="key",
    description="An API key, as `strata keys create` shows it. Not needed where Strata is embedded and on loopback.",
    auto_error=False,
)


class Authentication:
    """Middleware that finds out who asks. It refuses by path, so that no route is open by oversight."""

    def __init__(self, app: ASGIApp, *, gatekeeper: Gatekeeper) -> None:
        self._app, self._gatekeeper = app, gatekeeper

    async def __call__(self, scope: Connection, receive: Receive, send: Send) -> None:
        """Lets a request through with its principal, or answers it without having read its body."""
        if scope["type"] == "http" and scope["path"] not in OPEN:
            authorization = [value for name, value in scope["headers"] if name == b"authorization"]
            address = (scope.get("client") or ("",))[0]
            try:
                scope[_PRINCIPAL] = await self._gatekeeper.admit(authorization, address)
            except StrataError as error:
                await problems.from_error(error)(scope, receive, send)
                return
        await self._app(scope, receive, send)


async def _caller(request: Request, _: Annotated[Any, Security(_BEARER)]) -> Principal:
    principal: Principal = request.scope[_PRINCIPAL]
    return principal


Caller = Annotated[Principal, Depends(_caller)]
"""Whoever asks, whatever their key may do."""


def _requiring(scope: Scope) -> Callable[[Principal], Awaitable[Principal]]:
    async def required(caller: Caller) -> Principal:
        caller.require(scope)
        return caller

    return required


Asker = Annotated[Principal, Depends(_requiring("ask"))]
"""May ask, search, read documents and receipts."""

Ingester = Annotated[Principal, Depends(_requiring("ingest"))]
"""May submit and delete documents, and follow jobs."""

Admin = Annotated[Principal, Depends(_requiring("admin"))]
"""May do everything within the tenant, and manage its keys."""
