"""Whether the service lives, whether it can work, and its figures."""

from collections.abc import Callable

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST

from pipelines.core.errors import StrataError
from pipelines.core.settings import STAGES
from pipelines.core.state import DocumentStatus
from services.api.auth import Admin
from services.api.context import Context, Ctx
from services.api.schemas import Alive, Check, Readiness

router = APIRouter(tags=["health"])


@router.get("/livez")
async def livez() -> Alive:
    """Answers as long as the event loop turns."""
    return Alive()


@router.get("/readyz", responses={503: {"model": Readiness, "description": "Something is missing."}})
def readyz(response: Response, context: Ctx) -> Readiness:
    """Tries the index and the state, and says what is loaded."""
    checks = {
        "index": _try(lambda: _index(context)),
        "state": _try(lambda: _state(context)),
        "models": _try(lambda: _models(context)),
        "worker": _worker(context),
    }
    ready = all(check.ok for check in checks.values())
    response.status_code = 200 if ready else 503
    return Readiness(ready=ready, checks=checks)


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
def metrics(context: Ctx, _: Admin) -> Response:
    """Figures for Prometheus."""
    return Response(context.runtime.metrics.text(), media_type=CONTENT_TYPE_LATEST)


def _try(check: Callable[[], str]) -> Check:
    try:
        return Check(ok=True, detail=check())
    except StrataError as error:
        return Check(ok=False, detail=error.code)  # details may name hosts and folders


def _index(context: Context) -> str:
    info = context.runtime.store.info()
    return f"{info.mode}, {info.passages} passages"


def _state(context: Context) -> str:
    counts = context.runtime.ledger.counts()
    return f"{counts.documents[DocumentStatus.QUEUED]} documents queued"


def _models(context: Context) -> str:
    stages = context.settings.stages
    return ", ".join(f"{stage}: {stages.of(stage)}" for stage in STAGES)


def _worker(context: Context) -> Check:
    if context.worker is None:
        reachable = context.runtime.queue.reachable
        return Check(ok=reachable, detail="queue reachable" if reachable else "queue_unavailable")
    if not context.worker.running:
        return Check(ok=False, detail="stopped")
    if context.worker.failing:
        return Check(ok=False, detail="ingestion fails and is tried again; see the log")
    return Check(ok=True, detail="running")
