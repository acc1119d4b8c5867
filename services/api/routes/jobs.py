"""Jobs: how far a batch of documents or questions is."""

import asyncio
from collections.abc import Mapping
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import StreamingResponse

from pipelines.core.access import Principal, Scope
from pipelines.core.state import ANSWERS, ItemStatus, Job
from services.api import sse
from services.api.auth import Caller
from services.api.context import Context, Ctx
from services.api.job_events import JobEvents
from services.api.job_schemas import JobDetail, JobItemView, JobRetried, JobsPage, JobView
from services.api.problems import responses
from services.api.schemas import INT64

Kind = Literal["ingest", "sync", "answers"]
_SCOPES: Mapping[str, Scope] = {"ingest": "ingest", "sync": "ingest", ANSWERS: "ask"}

router = APIRouter(prefix="/v1/jobs", tags=["documents"])


@router.get("", responses=responses(422, 503))
def list_jobs(
    context: Ctx,
    caller: Caller,
    kind: Kind | None = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    cursor: Annotated[str | None, Query(max_length=500)] = None,
) -> JobsPage:
    """Lists jobs, newest first: of questions to keys that may ask, of documents to those that may ingest."""
    kinds = [each for each in _kinds(caller) if kind in (None, each)]
    page = context.runtime.ledger.progress.jobs(
        caller.tenant, kinds=kinds, labels=caller.labels, limit=limit, cursor=cursor
    )
    return JobsPage(jobs=[JobView.of(job) for job in page.items], next_cursor=page.next_cursor)


@router.get("/{job_id}", responses=responses(404, 422, 503))
def get_job(
    job_id: str,
    context: Ctx,
    caller: Caller,
    status: ItemStatus | None = None,
    limit: Annotated[int, Query(ge=0, le=1000)] = 100,
    after: Annotated[int, Query(ge=-1, lt=INT64)] = -1,
) -> JobDetail:
    """Shows a job, its counts and some of its documents, in the order of submission."""
    ledger = context.runtime.ledger
    job = _job(context, caller, job_id)
    found = ledger.progress.items(
        job_id, caller.tenant, labels=caller.labels, status=status, limit=limit + 1, after=after
    )
    items = found[:limit]
    return JobDetail(
        **dict(JobView.of(job)),
        items=[JobItemView.of(item) for item in items],
        next_after=items[-1].ordinal if items and len(found) > limit else None,
    )


@router.get(
    "/{job_id}/events",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "`progress` whenever the job changed, `item` for each document and whenever one changed, at "
            "the end `finished`.",
            "content": sse.described("JobEvent"),
        },
        **responses(404, 503),
    },
)
async def job_events(job_id: str, request: Request, context: Ctx, caller: Caller) -> sse.EventStream:
    """Tells of a job and its documents as server-sent events, until it is finished.

    At first each document is told as it stands, then each change. With `Last-Event-ID` only what changed since; an
    event may come twice.
    """
    job = await asyncio.to_thread(_job, context, caller, job_id)
    return sse.EventStream(JobEvents(context.runtime.ledger.progress, caller, job).stream(sse.last_id(request)))


@router.post("/{job_id}/retry", status_code=202, responses=responses(404, 503))
def retry_job(job_id: str, context: Ctx, caller: Caller) -> JobRetried:
    """Queues the failed documents or questions of a job again."""
    if _job(context, caller, job_id).kind == ANSWERS:
        retried = context.runtime.batch_ledger.retry(job_id, caller.tenant, labels=caller.labels)
        context.nudge("answers", retried)
    else:
        retried = context.runtime.ledger.retry_failed(caller.tenant, job_id, labels=caller.labels)
        context.nudge("ingest", retried)
    return JobRetried(job=JobView.of(_job(context, caller, job_id)), retried=retried)


@router.post("/{job_id}/cancel", responses=responses(404, 503))
def cancel_job(job_id: str, context: Ctx, caller: Caller) -> JobView:
    """Cancels what is still queued or running of a job, except work that another job waits for as well."""
    if _job(context, caller, job_id).kind == ANSWERS:
        return JobView.of(context.runtime.batch_ledger.cancel(job_id, caller.tenant, labels=caller.labels))
    return JobView.of(context.runtime.ledger.cancel(job_id, caller.tenant, labels=caller.labels))


def _kinds(caller: Principal) -> list[str]:
    """The jobs that a key's scopes let it see."""
    return [kind for kind, scope in _SCOPES.items() if {scope, "admin"} & set(caller.scopes)]


def _job(context: Context, caller: Principal, job_id: str) -> Job:
    """A job.

    Raises:
        NotFoundError: the caller sees no such job.
        ForbiddenError: the key does not have the scope of the job's kind.
    """
    job = context.runtime.ledger.progress.job(job_id, caller.tenant, labels=caller.labels)
    caller.require(_SCOPES.get(job.kind, "ingest"))
    return job
