"""Documents: submitting, listing, reading and deleting them."""

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from pipelines.core.access import Principal
from pipelines.core.errors import ConflictError, InvalidRequestError, NotFoundError
from pipelines.core.state import DocumentStatus, Job
from services.api import admission
from services.api.auth import Asker, Ingester
from services.api.context import Context, Ctx
from services.api.job_schemas import JobAccepted, JobItemView, JobView
from services.api.once import IdempotencyKey, mark
from services.api.problems import responses
from services.api.schemas import (
    INT64,
    DocumentsPage,
    DocumentView,
    NewTexts,
    TextSpan,
)
from services.api.submissions import submission
from services.documents.intake import NewDocument

MAX_SPAN = 200_000  # code points of source text in one response

router = APIRouter(prefix="/v1/documents", tags=["documents"])

_FORM: dict[str, Any] = {
    "type": "object",
    "required": ["files"],
    "properties": {
        "files": {"type": "array", "items": {"type": "string", "contentMediaType": "application/octet-stream"}},
        "source": {
            "type": "array",
            "items": {"type": "string"},
            "description": "One for each file, in order; without it the file's name is its source.",
        },
        "metadata": {
            "type": "string",
            "contentMediaType": "application/json",
            "description": "A JSON object for every file, or an array with one for each, in order.",
        },
        "labels": {
            "type": "string",
            "contentMediaType": "application/json",
            "description": "Access labels: a JSON array for every file, or an array with one for each, in order.",
        },
    },
}
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {"schema": _FORM},
            "application/json": {"schema": {"$ref": f"#/components/schemas/{NewTexts.__name__}"}},
        },
    }
}


@router.post(
    "",
    status_code=202,
    responses=responses(409, 413, 415, 422, 503),
    openapi_extra=_BODY,
    dependencies=[admission.DOCUMENTS],
)
async def submit(
    request: Request, response: Response, context: Ctx, caller: Ingester, key: IdempotencyKey = None
) -> JobAccepted:
    """Accepts documents. They are kept when this returns, and are indexed in the background.

    A file that cannot be read does not stop the others: it ends `failed`, with a reason. Archives (`.zip`, `.tar`,
    `.tar.gz`, …) are accepted as their members.
    """
    async with submission(request, context.settings) as documents:
        job = await asyncio.to_thread(_accept, context, caller, documents, key)
        accepted = await asyncio.to_thread(_accepted, context, caller, job)
    mark(response, job, "/v1/jobs")
    return accepted


def _accept(context: Context, caller: Principal, documents: list[NewDocument], key: str | None) -> Job:
    for document in documents:
        caller.may_label(document.labels)
    job = context.runtime.ingestion.accept(caller.tenant, documents, labels=caller.labels, key=key)
    context.nudge("ingest", job.total)
    return job


def _accepted(context: Context, caller: Principal, job: Job) -> JobAccepted:
    items = context.runtime.ledger.progress.items(job.id, caller.tenant, labels=caller.labels, limit=job.total)
    return JobAccepted(job=JobView.of(job), documents=[JobItemView.of(item) for item in items])


@router.get("", responses=responses(422, 503))
def list_documents(
    context: Ctx,
    caller: Asker,
    status: DocumentStatus | None = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    cursor: Annotated[str | None, Query(max_length=500)] = None,
) -> DocumentsPage:
    """Lists documents, oldest first."""
    page = context.runtime.ledger.documents(
        caller.tenant, labels=caller.labels, status=status, limit=limit, cursor=cursor
    )
    views = [DocumentView.of(item, caller) for item in page.items]
    return DocumentsPage(documents=views, next_cursor=page.next_cursor)


@router.get("/{document_id}", responses=responses(404, 503))
def get_document(document_id: str, context: Ctx, caller: Asker) -> DocumentView:
    """Shows a document."""
    found = context.runtime.ledger.document(document_id, caller.tenant, labels=caller.labels)
    return DocumentView.of(found, caller)


@router.get("/{document_id}/text", responses=responses(404, 409, 422, 503))
def read_text(
    document_id: str,
    context: Ctx,
    caller: Asker,
    start: Annotated[int, Query(ge=0, lt=INT64)] = 0,
    end: Annotated[int | None, Query(ge=0, lt=INT64)] = None,
    version: Annotated[str | None, Query(description="Refuse any other version, such as a citation's.")] = None,
) -> TextSpan:
    """Reads source text, so that a citation can be checked: its quote is the text from its `start` to its `end`."""
    document = context.runtime.ledger.document(document_id, caller.tenant, labels=caller.labels)
    if document.version is None or document.text_key is None:
        raise NotFoundError(f"The document {document_id} has no text yet: it is {document.status.value}.")
    if version not in (None, document.version):
        raise ConflictError("The document was replaced since; it now has another version.")
    length = context.runtime.blobs.text_length(document.text_key)
    end = min(length, start + MAX_SPAN if end is None else end)
    if end - start > MAX_SPAN:
        raise InvalidRequestError(f"The span is longer than {MAX_SPAN:,} characters; read it in parts.")
    text = context.runtime.blobs.read_span(document.text_key, start, max(start, end))
    return TextSpan(
        document_id=document_id, version=document.version, start=start, end=start + len(text), length=length, text=text
    )


@router.delete("/{document_id}", status_code=202, responses=responses(404, 503))
def delete_document(document_id: str, context: Ctx, caller: Ingester) -> DocumentView:
    """Deletes a document in any state. It is `deleting` until it is gone from the index, then not found."""
    document = context.runtime.ledger.delete_document(document_id, caller.tenant, labels=caller.labels)
    context.nudge("ingest")
    return DocumentView.of(document, caller)
