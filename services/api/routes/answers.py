"""Batches of questions: asked at once, answered by workers, their answers read while they come."""

import asyncio
import re
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse

from pipelines.core.access import Principal
from pipelines.core.state import Job
from services.api import admission, results, sse
from services.api.auth import Asker
from services.api.batch_body import QuestionLines
from services.api.context import Context, Ctx
from services.api.job_schemas import BatchQuestion, BatchQuestions, JobRetried, JobView
from services.api.limits import UnsupportedMediaTypeError
from services.api.once import IdempotencyKey, mark
from services.api.problems import responses
from services.api.schemas import INT64

CHUNK = 256 * 1024
"""Bytes checked at a time, in a thread."""

router = APIRouter(prefix="/v1/answers", tags=["questions"])

_ORDINAL = re.compile(r"[0-9]{1,18}")
_LINES = ("application/jsonl", "application/x-ndjson", "application/x-jsonlines")
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            **{kind: {"itemSchema": {"$ref": f"#/components/schemas/{BatchQuestion.__name__}"}} for kind in _LINES[:2]},
            "application/json": {"schema": {"$ref": f"#/components/schemas/{BatchQuestions.__name__}"}},
        },
    }
}


@router.post(
    "",
    status_code=202,
    responses=responses(409, 413, 415, 422, 503),
    openapi_extra=_BODY,
    dependencies=[admission.QUESTIONS],
)
async def submit(
    request: Request, response: Response, context: Ctx, caller: Asker, key: IdempotencyKey = None
) -> JobView:
    """Accepts a batch of questions. They are kept when this returns, and workers answer them in the background.

    One question a line, as `POST /v1/ask` takes them, with a `custom_id` where you want one; or, for small batches, one
    object with `questions`. Where a line is wrong nothing is accepted, and the lines that are wrong are named.
    """
    settings = context.settings
    lines = QuestionLines(
        caller,
        context.runtime.asking.check,
        max_questions=settings.batch.max_questions,
        max_line=settings.api.max_question_bytes,
    )
    with lines:
        await _read(request, lines, settings.api.max_question_bytes)
        job = await asyncio.to_thread(_accept, context, caller, lines, key)
    mark(response, job, "/v1/answers")
    return JobView.of(job)


async def _read(request: Request, lines: QuestionLines, max_object: int) -> None:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    whole = kind == "application/json"
    if not whole and kind not in _LINES:
        raise UnsupportedMediaTypeError("Send questions as application/jsonl, or as application/json.")
    waiting = bytearray()
    async for chunk in request.stream():
        waiting += chunk
        if whole and len(waiting) > max_object:
            raise UnsupportedMediaTypeError("Send so large a batch as application/jsonl: one question a line.")
        if not whole and len(waiting) >= CHUNK:
            await asyncio.to_thread(lines.feed, bytes(waiting))
            waiting.clear()
    if whole:
        await asyncio.to_thread(lines.whole, bytes(waiting))
    else:
        await asyncio.to_thread(lines.feed, bytes(waiting))
        await asyncio.to_thread(lines.end)


def _accept(context: Context, caller: Principal, lines: QuestionLines, key: str | None) -> Job:
    job = context.runtime.batch_ledger.accept(caller.tenant, lines, labels=caller.labels, once=lines.once(key))
    if not job.finished:
        context.nudge("answers", job.total)
    return job


@router.get("/{job_id}", responses=responses(404, 503))
def get_batch(job_id: str, context: Ctx, caller: Asker) -> JobView:
    """Shows how far a batch is."""
    return JobView.of(context.runtime.batch_ledger.job(job_id, caller.tenant, labels=caller.labels))


@router.get(
    "/{job_id}/results",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "One result a line, in the order of the questions; as server-sent events, `result` each and "
            "at the end `finished`.",
            "content": {
                "application/jsonl": {"itemSchema": {"$ref": "#/components/schemas/BatchResult"}},
                **sse.described("BatchResultEvent"),
            },
        },
        **responses(404, 503),
    },
)
async def read_results(
    job_id: str,
    request: Request,
    context: Ctx,
    caller: Asker,
    after: Annotated[int, Query(ge=-1, lt=INT64, description="The last `ordinal` that you have.")] = -1,
    follow: Annotated[bool, Query(description="Wait for what has not ended, until the batch has.")] = False,
) -> Response:
    """Reads results in the order of the questions, up to the first one that has not ended.

    What you have read stays valid: go on with `after`. As server-sent events (`Accept: text/event-stream`), each has
    its ordinal as its id, and `Last-Event-ID` goes before `after`. An empty line, or a comment, only says that the
    connection lives.
    """
    reader = results.Reader(context.runtime.batch_ledger, job_id, caller)
    await reader.check()
    if sse.wanted(request):
        had = sse.last_id(request)
        return sse.EventStream(reader.events(int(had) if _ORDINAL.fullmatch(had) else after, follow=follow))
    return StreamingResponse(reader.lines(after, follow=follow), media_type=_LINES[0])


@router.post("/{job_id}/cancel", responses=responses(404, 503))
def cancel_batch(job_id: str, context: Ctx, caller: Asker) -> JobView:
    """Cancels the questions that have not ended. Those being answered stop within a few seconds."""
    return JobView.of(context.runtime.batch_ledger.cancel(job_id, caller.tenant, labels=caller.labels))


@router.post("/{job_id}/retry", status_code=202, responses=responses(404, 503))
def retry_batch(job_id: str, context: Ctx, caller: Asker) -> JobRetried:
    """Queues the failed questions of a batch again."""
    batches = context.runtime.batch_ledger
    retried = batches.retry(job_id, caller.tenant, labels=caller.labels)
    context.nudge("answers", max(1, retried))
    return JobRetried(job=JobView.of(batches.job(job_id, caller.tenant, labels=caller.labels)), retried=retried)


@router.delete("/{job_id}", status_code=204, responses=responses(404, 503))
def delete_batch(job_id: str, context: Ctx, caller: Asker) -> None:
    """Removes a batch, its questions and its answers, in any state."""
    context.runtime.batch_ledger.delete(job_id, caller.tenant, labels=caller.labels)
