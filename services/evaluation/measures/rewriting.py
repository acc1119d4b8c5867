"""What the plan stage makes of a question that leans on earlier turns, beside simpler ways and a large model's.

Where a set has a corpus, rewrites are measured by what retrieval finds with them; where people rewrote the questions,
by the words that they share with those rewrites.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipelines.core.deadline import Deadline
from pipelines.core.session import Session
from pipelines.core.tasks import PlanTask, PruneTask
from pipelines.core.types import Hit, Plan, Question, SearchQuery
from pipelines.prune import EncoderPruner
from pipelines.retrieve import Retriever
from services.evaluation.context import Context
from services.evaluation.data.rows import QueryRow, RewriteRow
from services.evaluation.data.sets import Item
from services.evaluation.figures import ALL
from services.evaluation.measures.retrieval import K, distinct_documents, question_of
from services.evaluation.metrics import ndcg, recall
from services.evaluation.metrics.recovered import recovered_terms
from services.evaluation.metrics.rouge1 import rouge_1
from services.evaluation.result import Measure, ScoredItem, TaskResult
from services.evaluation.statistics import paired_interval
from services.evaluation.tables import figures_of

RERANKED = "plan stage, reranked"
RERANK = 30
"""Passages that the head `evidence` reads and puts into a new order; a question's prune stage reads fewer of them."""
RAW, LAST_TWO, HISTORY = "question as asked", "last two turns", "all turns"
MODEL, STAGE = "model rewrite", "plan stage"
BASELINES = (RAW, LAST_TWO, HISTORY)

FUSIONS = ("dense", "hybrid")
RECALL, GAIN = f"R@{K}", f"nDCG@{K}"
PLAN_MS = "p50 ms to plan"
SEARCH_MEASURES = (
    *(Measure(name=f"{measure} {fusion}") for fusion in FUSIONS for measure in (RECALL, GAIN)),
    Measure(name=PLAN_MS, unit="ms", better="lower", headline=False),
)

PRECISION, FOUND, F1 = "precision of added terms", "recall of missing terms", "F1 of added terms"
ROUGE = "ROUGE-1"
WORD_MEASURES = (
    Measure(name=F1),
    Measure(name=PRECISION),
    Measure(name=FOUND),
    Measure(name=ROUGE),
    Measure(name=PLAN_MS, unit="ms", better="lower", headline=False),
)

TOLERANCE = 0.01
"""The plan stage may lose this much against the question as asked in no group."""


@dataclass(frozen=True, slots=True)
class _Planned:
    """What to search for, by system."""

    plans: Mapping[str, Plan]
    ms: float


async def measure_rewritten_retrieval(context: Context) -> TaskResult:
    """Searches for every system's plan with the real retrieve stage: by the encoder alone, and as configured."""
    rewrites = {row.id: row.rewrite for row in context.evaluated.rows("queries", QueryRow)}
    retrievers, pruner = _retrievers(context), _reader(context)
    scored: list[ScoredItem] = []
    for item in context.items():
        planned = await _plan(context, question_of(item, history=True), rewrites[item.id])
        for system, plan in planned.plans.items():
            found = {name: await _search(context, each, question_of(item), plan) for name, each in retrievers.items()}
            scored.append(_scored(item, system, plan, found, planned.ms if system == STAGE else None))
            if system == STAGE and pruner:
                reranked = {name: _reranked(context, pruner, item, plan, hits) for name, hits in found.items()}
                scored.append(_scored(item, RERANKED, plan, reranked, None))
    return TaskResult(
        task="rewriting",
        about=f"Whether the documents that answer a question are among the first {K} found with a rewrite of it.",
        measures=SEARCH_MEASURES,
        figures=figures_of(scored, SEARCH_MEASURES, baselines=BASELINES, seed=context.seed),
        notes=tuple(_never_worse(scored, f"{GAIN} {fusion}", context.seed) for fusion in FUSIONS),
        items=tuple(scored),
    )


async def measure_rewriting(context: Context) -> TaskResult:
    """Compares every system's rewrite with the one that a person made."""
    scored: list[ScoredItem] = []
    rows = context.rows("rewrite", RewriteRow)
    for row in rows:
        planned = await _plan(context, Question(text=row.question, history=row.history), row.auto_rewrite)
        group = "leans on earlier turns" if row.needs_rewrite else "stands alone"
        for system, plan in planned.plans.items():
            found = recovered_terms(row.question, plan.standalone, row.rewrite)
            scores: dict[str, float | None] = {
                PRECISION: found.precision,
                FOUND: found.recall,
                F1: found.f1,
                ROUGE: rouge_1(plan.standalone, row.rewrite),
            }
            if system == STAGE:
                scores[PLAN_MS] = planned.ms
            detail = {"rewrite": plan.standalone}
            scored.append(ScoredItem(id=row.id, system=system, group=group, scores=scores, detail=detail))
    return TaskResult(
        task="rewriting",
        about="Whether a rewrite brings the words that people put into a question so that it stands alone.",
        measures=WORD_MEASURES,
        figures=figures_of(scored, WORD_MEASURES, baselines=BASELINES, seed=context.seed),
        notes=("Terms are stems of content words. Recall and F1 are over the questions that lack some.",),
        items=tuple(scored),
    )


async def _plan(context: Context, question: Question, rewrite: str | None) -> _Planned:
    """Every system's plan; a model's rewrite where the set has one."""
    turns = [turn.text for turn in question.history if turn.role == "user"]
    texts = {
        RAW: question.text,
        LAST_TWO: " ".join((*turns[-1:], question.text)),
        HISTORY: " ".join((*turns, question.text)),
        **({MODEL: rewrite} if rewrite else {}),
    }
    task = PlanTask(question=question, timeout_s=context.settings.answer.deadline_s)
    started = time.perf_counter()
    result = await context.runtime.runner.plan(task)
    ms = (time.perf_counter() - started) * 1000
    plans = {system: Plan(standalone=text, queries=(SearchQuery(text=text),)) for system, text in texts.items()}
    return _Planned({**plans, STAGE: result.plan}, ms)


def _retrievers(context: Context) -> dict[str, Retriever]:
    settings = context.settings.retrieve.model_copy(update={"top_k": RERANK})
    dense = settings.model_copy(update={"dense_weight": 1.0, "bm25_weight": 0.0, "section_weight": 0.0})
    store, encoder = context.runtime.store, context.runtime.encoder
    return {"dense": Retriever(store, encoder, dense), "hybrid": Retriever(store, encoder, settings)}


async def _search(context: Context, retriever: Retriever, question: Question, plan: Plan) -> Sequence[Hit]:
    session = Session(Deadline.after(context.settings.answer.deadline_s))
    found = await retriever.run_async(question=question, plan=plan, session=session)
    return found["hits"]


def _reader(context: Context) -> EncoderPruner | None:
    """The in-process prune stage, where it reads passages with the head; here it reads all that are reranked."""
    runtime = context.runtime
    if not isinstance(runtime.runner.prune, EncoderPruner) or runtime.heads.get("evidence") is None:
        return None
    settings = context.settings.prune.model_copy(update={"read_passages": RERANK})
    return EncoderPruner(runtime.encoder, settings, runtime.heads)


def _reranked(context: Context, pruner: EncoderPruner, item: Item, plan: Plan, hits: Sequence[Hit]) -> Sequence[Hit]:
    """The same hits by the probability that they help."""
    deadline_s = context.settings.answer.deadline_s
    task = PruneTask(question=plan.standalone, asked=item.question, hits=tuple(hits), timeout_s=deadline_s)
    return [scored.hit for scored in sorted(pruner.score(task).hits, key=lambda scored: -scored.score)]


def _scored(item: Item, system: str, plan: Plan, found: Mapping[str, Sequence[Hit]], ms: float | None) -> ScoredItem:
    scores: dict[str, float | None] = {}
    for fusion, hits in found.items():
        documents = distinct_documents(hits)
        scores[f"{RECALL} {fusion}"] = recall(documents, item.gold, K)
        scores[f"{GAIN} {fusion}"] = ndcg(documents, item.gold, K)
    if ms is not None:
        scores[PLAN_MS] = ms
    detail = {"queries": [query.text for query in plan.queries]}
    return ScoredItem(id=item.id, system=system, group=item.group, scores=scores, detail=detail)


def _never_worse(scored: Sequence[ScoredItem], measure: str, seed: int) -> str:
    """Whether the plan stage loses more than `TOLERANCE` against the question as asked in any group."""
    differences = []
    for group in (*sorted({item.group for item in scored}), ALL):
        values = {
            system: [
                item.scores[measure] or 0.0 for item in scored if item.system == system and group in (ALL, item.group)
            ]
            for system in (STAGE, RAW)
        }
        paired = paired_interval(values[STAGE], values[RAW], seed)
        differences.append((group, paired))
    worst = min(paired.difference for _, paired in differences)
    verdict = "nowhere worse than" if worst >= -TOLERANCE else "in a group worse than"
    listed = "; ".join(
        f"{group} {paired.difference:+.3f} ({paired.interval[0]:+.3f} to {paired.interval[1]:+.3f})"
        for group, paired in differences
    )
    return f"{measure}: the plan stage is {verdict} the question as asked by more than {TOLERANCE}: {listed}."
