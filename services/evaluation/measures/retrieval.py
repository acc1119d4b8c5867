"""Retrieval through the real plan and retrieve stages, beside baselines on the same index in the same run."""

import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np
from haystack import Pipeline

from indexing.identity import document_id
from pipelines.core.deadline import Deadline
from pipelines.core.session import Session
from pipelines.core.store import Fusion, RankedQuery
from pipelines.core.types import DEFAULT_TENANT, Filter, Hit, Question
from pipelines.plan import Planner
from pipelines.retrieve import Retriever
from services.evaluation.context import Context
from services.evaluation.data.sets import Item
from services.evaluation.metrics import ndcg, recall
from services.evaluation.result import Measure, ScoredItem, TaskResult
from services.evaluation.tables import figures_of
from services.runtime import Runtime

K = 5
PLAIN_RRF_K = 60
"""Cormack et al. (SIGIR 2009): the constant that everybody takes."""

MEASURES = (
    Measure(name=f"R@{K}"),
    Measure(name=f"nDCG@{K}"),
    Measure(name="p50 ms", unit="ms", better="lower", headline=False),
)
STRATA, WITH_HISTORY = "strata", "strata with conversation"

Search = Callable[[Item], Awaitable[Sequence[Hit]]]


async def measure_retrieval(context: Context) -> TaskResult:
    """Asks every question of every system in turn, so that all of them meet the same machine."""
    items, systems = context.items(), _systems(context.runtime, conversations=context.evaluated.adapter.conversations)
    scored: list[ScoredItem] = []
    for search in systems.values():
        await search(items[0])  # so that the first question is not slower than the next
    for item in items:
        for name, search in systems.items():
            started = time.perf_counter()
            hits = await search(item)
            ms = (time.perf_counter() - started) * 1000
            scored.append(_scored(item, name, distinct_documents(hits), ms))
    baselines = [name for name in systems if name not in (STRATA, WITH_HISTORY)]
    skipped = context.evaluated.skipped
    return TaskResult(
        task="retrieval",
        about=f"Whether the documents that answer a question are among the first {K} found.",
        baselines=tuple(baselines),
        measures=MEASURES,
        figures=figures_of(scored, MEASURES, baselines=baselines, seed=context.seed),
        notes=(f"{skipped} questions without a gold document were left out.",) if skipped else (),
        items=tuple(scored),
    )


def distinct_documents(hits: Iterable[Hit]) -> list[str]:
    """The corpus ids of the documents that hits are of, by each one's best hit."""
    return list(dict.fromkeys(hit.passage.source for hit in hits))


def question_of(item: Item, *, history: bool = False) -> Question:
    """The question as a client would send it."""
    within = tuple(document_id(DEFAULT_TENANT, each) for each in item.within)
    confined = Filter(metadata=item.filter, document_ids=within)
    return Question(text=item.question, history=item.history if history else (), filter=confined)


def _systems(runtime: Runtime, *, conversations: bool) -> dict[str, Search]:
    settings = runtime.settings.retrieve
    pipeline = _stages(runtime)

    def strata(history: bool) -> Search:
        async def search(item: Item) -> Sequence[Hit]:
            question = question_of(item, history=history)
            asked = {"question": question, "session": Session(Deadline.after(runtime.settings.answer.deadline_s))}
            outputs = await pipeline.run_async({"plan": asked, "retrieve": asked})
            hits: tuple[Hit, ...] = outputs["retrieve"]["hits"]
            return hits

        return search

    def alone(fusion: Fusion) -> Search:
        async def search(item: Item) -> Sequence[Hit]:
            encoder = runtime.encoder
            vector = encoder.embed([item.question]).vectors[0] if fusion.dense else np.zeros(encoder.dim, np.float32)
            query = RankedQuery(item.question, vector)
            filter_ = question_of(item).filter
            return runtime.store.search([query], limit=settings.top_k, fusion=fusion, filter=filter_)

        return search

    plain = replace(Fusion.of(settings), rrf_k=PLAIN_RRF_K, section=0.0)
    return {
        STRATA: strata(history=False),
        **({WITH_HISTORY: strata(history=True)} if conversations else {}),
        "BM25 alone": alone(replace(plain, dense=0.0, bm25=1.0)),
        "dense alone": alone(replace(plain, dense=1.0, bm25=0.0)),
        "RRF equal weights": alone(replace(plain, dense=1.0, bm25=1.0)),
    }


def _stages(runtime: Runtime) -> Pipeline:
    """The question path as far as retrieval."""
    pipeline = Pipeline()
    pipeline.add_component("plan", Planner(runtime.runner))
    pipeline.add_component("retrieve", Retriever(runtime.store, runtime.encoder, runtime.settings.retrieve))
    pipeline.connect("plan.plan", "retrieve.plan")
    return pipeline


def _scored(item: Item, system: str, documents: Sequence[str], ms: float) -> ScoredItem:
    return ScoredItem(
        id=item.id,
        system=system,
        group=item.group,
        scores={
            f"R@{K}": recall(documents, item.gold, K),
            f"nDCG@{K}": ndcg(documents, item.gold, K),
            "p50 ms": ms,
        },
        detail={"documents": documents[:K]},
    )
