"""Retrieval through the real plan and retrieve stages, beside baselines on the same index in the same run."""

import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np
from haystack import Pipeline

from pipelines.core.deadline import Deadline
from pipelines.core.session import Session
from pipelines.core.store import Fusion, RankedQuery
from pipelines.core.types import Filter, Hit, Question, Turn
from pipelines.plan import Planner
from pipelines.retrieve import Retriever
from services.evaluation.metrics import ndcg, recall
from services.evaluation.result import RankedItem, RetrievalResult, RetrievalRow
from services.evaluation.sets import EvaluationSet, Item
from services.evaluation.statistics import interval, mean, median
from services.runtime import Runtime

K = 5
ALL = "all"
PLAIN_RRF_K = 60
"""Cormack et al. (SIGIR 2009): the constant that everybody takes."""

Search = Callable[[Item], Awaitable[Sequence[Hit]]]


async def measure_retrieval(
    evaluated: EvaluationSet, items: Sequence[Item], runtime: Runtime, seed: int
) -> RetrievalResult:
    """Asks every question of every system in turn, so that all of them meet the same machine."""
    systems = _systems(runtime, conversations=evaluated.adapter.conversations)
    ranked: list[RankedItem] = []
    times: dict[str, list[tuple[str, float]]] = {name: [] for name in systems}
    for search in systems.values():
        await search(items[0])  # so that the first question is not slower than the next
    for item in items:
        for name, search in systems.items():
            started = time.perf_counter()
            hits = await search(item)
            times[name].append((item.group, (time.perf_counter() - started) * 1000))
            ranked.append(_ranked(item, name, distinct_documents(hits)))
    groups = [*sorted({item.group for item in items if item.group}), ALL]
    rows = [
        _row(name, group, [each for each in ranked if each.system == name], times[name], seed)
        for group in groups
        for name in systems
    ]
    return RetrievalResult(k=K, rows=tuple(rows), items=tuple(ranked))


def distinct_documents(hits: Iterable[Hit]) -> list[str]:
    """The corpus ids of the documents that hits are of, by each one's best hit."""
    return list(dict.fromkeys(hit.passage.source for hit in hits))


def question_of(item: Item, *, history: bool = False) -> Question:
    """The question as a client would send it."""
    turns = tuple(Turn(role="user", text=text) for text in item.history) if history else ()
    return Question(text=item.question, history=turns, filter=Filter(metadata=item.filter))


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
        "strata": strata(history=False),
        **({"strata with conversation": strata(history=True)} if conversations else {}),
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


def _ranked(item: Item, system: str, documents: Sequence[str]) -> RankedItem:
    return RankedItem(
        id=item.id,
        group=item.group,
        system=system,
        documents=tuple(documents[:K]),
        recall=recall(documents, item.gold, K),
        ndcg=ndcg(documents, item.gold, K),
    )


def _row(
    system: str, group: str, items: Sequence[RankedItem], times: Sequence[tuple[str, float]], seed: int
) -> RetrievalRow:
    inside = [each for each in items if group in (ALL, each.group)]
    recalls, gains = [each.recall for each in inside], [each.ndcg for each in inside]
    return RetrievalRow(
        system=system,
        group=group,
        n=len(inside),
        recall=mean(recalls),
        recall_interval=interval(recalls, seed),
        ndcg=mean(gains),
        ndcg_interval=interval(gains, seed),
        p50_ms=median([ms for of, ms in times if group in (ALL, of)]),
    )
