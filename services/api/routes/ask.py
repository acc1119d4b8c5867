"""Questions: answered as JSON or as a stream of events, and their receipts."""

import asyncio
import logging
import traceback
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from pipelines.core.errors import StrataError
from pipelines.core.events import AnswerEvent, ErrorEvent, ignore
from pipelines.core.types import Answer, Question
from services.api import sse
from services.api.auth import Asker
from services.api.context import Context, Ctx
from services.api.problems import responses
from services.api.request_id import request_id
from services.api.schemas import AnswerReceipt, AskRequest, Exchangeable

logger = logging.getLogger(__name__)
router = APIRouter(prefix="/v1", tags=["questions"])

STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The answer; or, as a stream, one event a step that ends with `answer` or `error`.",
        "content": sse.described("Event"),
    }
}


@router.post("/ask", response_model=Answer, responses={**STREAM, **responses(413, 415, 422, 429, 502, 503, 504)})
async def ask(
    body: Annotated[AskRequest, Exchangeable], request: Request, context: Ctx, caller: Asker
) -> Answer | Response:
    """Answers a question with citations.

    With `Accept: text/event-stream`, or `stream: true`, it answers as server-sent events: `plan`, `evidence`, `delta`,
    `citation`, and at the end `answer` or `error`. A client that leaves stops the work.
    """
    question = body.of(caller)
    context.runtime.asking.check(question)
    context.admit()
    context.slots.take()
    if body.stream or sse.wanted(request):
        return _stream(context, question)
    try:
        return await sse.while_connected(request, context.runtime.ask(question, ignore))
    except sse.ClientLeftError:
        return Response(status_code=499)  # nginx's status for it; nobody reads it but the log
    finally:
        context.slots.free()


@router.get("/answers/{answer_id}/receipt", responses=responses(404, 503))
def receipt(answer_id: str, context: Ctx, caller: Asker) -> AnswerReceipt:
    """What an answer took, stage by stage."""
    record = context.runtime.ledger.receipts.of(answer_id, caller.tenant, labels=caller.labels)
    return AnswerReceipt(
        answer_id=record.answer_id,
        created_at=record.created_at,
        status=record.status,
        config_version=record.config_version,
        receipt=record.receipt,
    )


def _stream(context: Context, question: Question) -> sse.EventStream:
    queue: asyncio.Queue[BaseModel | None] = asyncio.Queue()
    task = asyncio.ensure_future(_tell(context, question, queue))

    # When the work ends, not the response: a client that reads slowly holds no place, and one that left holds its own
    # until the work has stopped.
    task.add_done_callback(lambda _: context.slots.free())
    return sse.EventStream(sse.drain(queue), task.cancel)


async def _tell(context: Context, question: Question, queue: "asyncio.Queue[BaseModel | None]") -> None:
    """Puts the events of a question. The answer goes out once its receipt can be asked for."""
    loop = asyncio.get_running_loop()

    def put(event: BaseModel | None) -> None:
        loop.call_soon_threadsafe(queue.put_nowait, event)  # stages emit from threads as well

    def emit(event: BaseModel) -> None:
        if not isinstance(event, AnswerEvent):
            put(event)

    try:
        put(AnswerEvent(answer=await context.runtime.ask(question, emit)))
    except StrataError as error:
        put(
            ErrorEvent(
                code=error.code,
                detail=error.detail,
                retryable=error.retryable,
                retry_after_s=error.retry_after_s,
            )
        )
    except Exception as error:
        where = "".join(traceback.format_tb(error.__traceback__))
        logger.error("request %s failed: %s\n%s", request_id.get(), type(error).__name__, where)
        put(ErrorEvent(code=StrataError.code, detail="Something went wrong; see the log.", retryable=False))
    put(None)
