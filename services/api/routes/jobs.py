"""Jobs: how far a batch of documents is."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse
from fastapi.sse import KEEPALIVE_COMMENT

from pipelines.core.access import Principal
from pipelines.core.errors import StateUnavailableError
from pipelines.core.state import ItemStatus, Job
from services.api import sse
from services.api.auth import Ingester
from services.api.context import Context, Ctx
from services.api.problems import responses
from services.api.schemas import INT64, JobDetail, JobEvent, JobItemView, JobRetried, JobView

POLL_S = 0.3

router = APIRouter(prefix="/v1/jobs/{job_id}", tags=["documents"])


@router.get("", responses=responses(404, 422, 503))
def get_job(
    job_id: str,
    context: Ctx,
    caller: Ingester,
    status: ItemStatus | None = None,
    limit: Annotated[int, Query(ge=0, le=1000)] = 100,
    after: Annotated[int, Query(ge=-1, lt=INT64)] = -1,
) -> JobDetail:
    """Shows a job, its counts and some of its documents, in the order of submission."""
    ledger = context.runtime.ledger
    job = ledger.job(job_id, caller.tenant)
    found = ledger.job_items(job_id, caller.tenant, status=status, limit=limit + 1, after=after)
    items = found[:limit]
    return JobDetail(
        **dict(JobView.of(job)),
        items=[JobItemView.of(item) for item in items],
        next_after=items[-1].ordinal if items and len(found) > limit else None,
    )


@router.get(
    "/events",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "`progress` whenever something changed, at the end `finished`.",
            "content": {sse.MEDIA_TYPE: {"itemSchema": {"$ref": "#/components/schemas/JobEvent"}}},
        },
        **responses(404, 503),
    },
)
async def job_events(job_id: str, context: Ctx, caller: Ingester) -> sse.EventStream:
    """Tells of a job's progress as server-sent events, until it is finished."""
    job = await asyncio.to_thread(context.runtime.ledger.job, job_id, caller.tenant)
    return sse.EventStream(_progress(context, caller, job))


@router.post("/retry", status_code=202, responses=responses(404, 503))
def retry_job(job_id: str, context: Ctx, caller: Ingester) -> JobRetried:
    """Queues the failed documents of a job again."""
    retried = context.runtime.ledger.retry_failed(caller.tenant, job_id)
    context.nudge("ingest", retried)
    return JobRetried(job=JobView.of(context.runtime.ledger.job(job_id, caller.tenant)), retried=retried)


@router.post("/cancel", responses=responses(404, 503))
def cancel_job(job_id: str, context: Ctx, caller: Ingester) -> JobView:
    """Cancels what is still queued or running of a job, except work that another job waits for as well."""
    return JobView.of(context.runtime.ledger.cancel(job_id, caller.tenant))


async def _progress(context: Context, caller: Principal, job: Job) -> AsyncIterator[bytes]:
    shown: Job | None = None
    silent_s = 0.0
    while True:
        if job != shown:
            shown, silent_s = job, 0.0
            yield sse.encode(JobEvent(type="finished" if job.finished else "progress", job=JobView.of(job)))
        if job.finished:
            return
        await asyncio.sleep(POLL_S)
        silent_s += POLL_S
        if silent_s >= sse.HEARTBEAT_S:
            silent_s = 0.0
            yield KEEPALIVE_COMMENT
        try:
            job = await asyncio.to_thread(context.runtime.ledger.job, job.id, caller.tenant)
        except StateUnavailableError:
            continue  # it may come back; the comments keep the client waiting
