"""Sources: folders and buckets whose content is kept in step with the documents."""

import asyncio
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Literal, Self

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from pipelines.core.access import Principal, labels
from pipelines.core.state import Source, SourceStatus
from pipelines.core.types import Scalar
from services.api import admission
from services.api.auth import Ingester
from services.api.context import Context, Ctx
from services.api.problems import responses
from services.api.schemas import AccessLabels, Body, Exchangeable, Failure, Metadata, fields_of
from services.api.submissions import frozen
from services.documents.locations import allowed, parse

router = APIRouter(prefix="/v1/sources", tags=["sources"])


class NewSource(Body):
    """A folder or bucket prefix to synchronise. Naming one again changes its settings and looks anew."""

    url: Annotated[str, Field(max_length=2000, description="Under one of `ingest.sources`: `s3://…` or `file://…`.")]
    metadata: Metadata = Field(default_factory=dict, description="Fields to filter by, of every document.")
    labels: AccessLabels = Field(default_factory=list)
    keep_deleted: bool = Field(False, description="Keep documents whose files are gone.")


class SourceView(BaseModel):
    """A source, and how the last look at it went, or goes."""

    id: str
    url: str
    metadata: Mapping[str, Scalar | tuple[Scalar, ...]]
    labels: tuple[str, ...]
    keep_deleted: bool
    status: SourceStatus
    finished: bool
    job_id: str | None = Field(description="The job of the documents that the last sync brought.")
    listed: int = Field(description="Files found.")
    added: int = Field(description="Files that were not there before.")
    changed: int
    deleted: int
    unchanged: int
    error: Failure | None
    next_try_at: datetime | None
    created_at: datetime
    synced_at: datetime | None = Field(description="When a sync last ended well.")

    @classmethod
    def of(cls, source: Source, reader: Principal) -> Self:
        """As the state database knows it."""
        error = Failure(code=source.error_code, detail=source.error_detail or "") if source.error_code else None
        return cls.model_validate({**fields_of(cls, source), "error": error, "labels": reader.shown(source.labels)})


class SourceList(BaseModel):
    """Sources, oldest first."""

    sources: list[SourceView]


@router.post("", status_code=202, responses=responses(403, 409, 413, 415, 503), dependencies=[admission.DOCUMENTS])
async def add_source(
    body: Annotated[NewSource, Exchangeable], response: Response, context: Ctx, caller: Ingester
) -> SourceView:
    """Makes a source and queues a sync of it. Its job has the documents that turn out to be new or changed."""
    source = await asyncio.to_thread(_add, context, caller, body)
    response.headers["Location"] = f"/v1/sources/{source.id}"
    return source


def _add(context: Context, caller: Principal, body: NewSource) -> SourceView:
    location = parse(body.url)
    allowed(location, context.settings.ingest.sources)
    document_labels = labels(body.labels)
    caller.may_label(document_labels)
    source = context.runtime.sources.add(
        caller.tenant,
        location.url,
        metadata=frozen(body.metadata),
        document_labels=document_labels,
        keep_deleted=body.keep_deleted,
        labels=caller.labels,
    )
    context.nudge("sync", 1)
    return SourceView.of(source, caller)


@router.get("", responses=responses(503))
def list_sources(context: Ctx, caller: Ingester) -> SourceList:
    """Lists sources, oldest first, a thousand at most."""
    found = context.runtime.sources.list(caller.tenant, labels=caller.labels)
    return SourceList(sources=[SourceView.of(source, caller) for source in found])


@router.get("/{source_id}", responses=responses(404, 503))
def get_source(source_id: str, context: Ctx, caller: Ingester) -> SourceView:
    """Shows a source."""
    return SourceView.of(context.runtime.sources.get(source_id, caller.tenant, labels=caller.labels), caller)


@router.post(
    "/{source_id}/sync", status_code=202, responses=responses(403, 404, 409, 503), dependencies=[admission.DOCUMENTS]
)
def sync_source(source_id: str, context: Ctx, caller: Ingester) -> SourceView:
    """Queues a sync; one that is queued or running is joined."""
    sources = context.runtime.sources
    known = sources.get(source_id, caller.tenant, labels=caller.labels)
    allowed(parse(known.url), context.settings.ingest.sources)  # the command line may have made it, the API not
    source = sources.sync(source_id, caller.tenant, labels=caller.labels)
    context.nudge("sync", 1)
    return SourceView.of(source, caller)


@router.delete("/{source_id}", status_code=202, responses=responses(403, 404, 503))
def delete_source(
    source_id: str,
    context: Ctx,
    caller: Ingester,
    documents: Annotated[
        Literal["keep", "delete"], Query(description="`delete`: the source is `deleting` until they are marked.")
    ] = "keep",
) -> SourceView:
    """Forgets a source. Its documents stay, unless they are to be deleted as well."""
    found = context.runtime.sources.remove(
        source_id, caller.tenant, documents=documents == "delete", labels=caller.labels
    )
    context.nudge("sync", 1)
    return SourceView.of(found, caller)
