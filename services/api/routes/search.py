"""Passages for a query, without an answer."""

from typing import Annotated

from fastapi import APIRouter

from services.api.auth import Asker
from services.api.context import Ctx
from services.api.problems import responses
from services.api.schemas import Exchangeable, SearchHits, SearchRequest

router = APIRouter(prefix="/v1", tags=["questions"])


@router.post("/search", responses=responses(413, 415, 422, 503))
def search(body: Annotated[SearchRequest, Exchangeable], context: Ctx, caller: Asker) -> SearchHits:
    """Finds passages, best first, with the fusion of dense and BM25 rankings that questions use."""
    hits = context.runtime.search(body.query, limit=body.limit, filter=body.filter.of(caller))
    return SearchHits(hits=hits)
