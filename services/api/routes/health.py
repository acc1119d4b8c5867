"""Whether the service lives, whether it can work, and its figures."""

import asyncio

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST

from services.api.auth import Admin
from services.api.context import Ctx
from services.api.life import Life
from services.api.schemas import Alive, Check, Readiness

router = APIRouter(tags=["health"])


@router.get("/livez")
async def livez() -> Alive:
    """Answers as long as the event loop turns."""
    return Alive()


@router.get("/readyz", responses={503: {"model": Readiness, "description": "It cannot answer questions."}})
async def readyz(request: Request, response: Response) -> Readiness:
    """Looks at what the service stands on. It is ready as long as it can answer questions, be it in a lesser way.

    `degraded`: something is away that it can do without for a while; see `checks`.
    """
    life: Life = request.app.state.life
    if life.context is None or life.stopping:
        response.status_code = 503
        start = Check(ok=False, detail=life.waits_for or "loading")
        return Readiness(ready=False, status=life.phase, checks={"start": start} if life.phase == "starting" else {})
    found = await asyncio.to_thread(life.context.checks)
    ready = found["index"].ok
    status = "unready" if not ready else "ready" if all(each.ok for each in found.values()) else "degraded"
    response.status_code = 200 if ready else 503
    return Readiness(
        ready=ready,
        status=status,
        checks={name: Check(ok=each.ok, detail=each.detail) for name, each in found.items()},
    )


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
def metrics(context: Ctx, _: Admin) -> Response:
    """Figures for Prometheus."""
    return Response(context.runtime.metrics.text(), media_type=CONTENT_TYPE_LATEST)
