"""Plan → hits: every query, dense and BM25, fused in the index; document → section → passage."""

import asyncio

from haystack import component

from pipelines.core.encoders import Encoder
from pipelines.core.session import Session, Stopwatch
from pipelines.core.settings import RetrieveSettings
from pipelines.core.store import Fusion, RankedQuery, Store
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
        queries = [
            RankedQuery(query.text, vector, query.weight)
            for query, vector in zip(plan.queries, embedded.vectors, strict=True)
        ]
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
