"""Plan → hits: every query, dense and BM25, fused in the index; document → section → passage."""

import asyncio
from dataclasses import replace

import numpy as np
from haystack import component
from numpy.typing import NDArray

from pipelines.core.encoders import Encoder
from pipelines.core.session import Session, Stopwatch
from pipelines.core.settings import RetrieveSettings
from pipelines.core.store import Fusion, RankedQuery, Store
from pipelines.core.text import fold
from pipelines.core.types import Hit, Plan, Question, StageReceipt


@component
class Retriever:
    """Searches the index with every query of the plan."""

    def __init__(self, store: Store, encoder: Encoder, settings: RetrieveSettings) -> None:
        self._store, self._encoder, self._top_k = store, encoder, settings.top_k
        self._fusion = Fusion.of(settings)

    @component.output_types(hits=tuple[Hit, ...])
    def run(self, question: Question, plan: Plan, session: Session) -> dict[str, tuple[Hit, ...]]:
        """See `run_async`."""
        watch = Stopwatch()
        embedded = self._encoder.embed([query.text for query in plan.queries])
        queries = ranked_queries(plan, embedded.vectors)
        hits = self._store.search(queries, limit=self._top_k, fusion=self._fusion, filter=question.filter)
        session.record(
            StageReceipt(stage="retrieve", tier="index", model=self._encoder.name, usage=embedded.usage, ms=watch.ms)
        )
        return {"hits": tuple(hits)}

    @component.output_types(hits=tuple[Hit, ...])
    async def run_async(self, question: Question, plan: Plan, session: Session) -> dict[str, tuple[Hit, ...]]:
        """Finds at most `top_k` hits, best first, within the question's filter."""
        with session.stage("retrieve"):
            return await asyncio.to_thread(self.run, question, plan, session)


def ranked_queries(plan: Plan, vectors: NDArray[np.float32]) -> list[RankedQuery]:
    """The plan's queries with their vectors.

    A question that was made to stand alone is searched with one vector, the mean of it and of the question as asked by
    their weights: it keeps what the added words blur, and what the question lacks. By words both have their own votes.
    """
    queries = [
        RankedQuery(query.text, vector, query.weight) for query, vector in zip(plan.queries, vectors, strict=True)
    ]
    asked = plan.queries[0]
    standalone = fold(plan.standalone)
    at = next((at for at, query in enumerate(plan.queries) if fold(query.text) == standalone), 0)
    if at == 0:
        return queries
    mean = asked.weight * vectors[0] + plan.queries[at].weight * vectors[at]
    queries[0] = replace(queries[0], vector=None)
    queries[at] = replace(queries[at], vector=mean / np.linalg.norm(mean))
    return queries
