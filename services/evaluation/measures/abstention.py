"""Whether the product knows when its evidence does not answer: risk against coverage.

An item is a question with the passages that were found for it. It is answerable where a gold passage is among them.
Answering an item that is not is the risk; the share of items that are answered, the most confident ones first, is the
coverage.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pipelines.core.store import Fusion, RankedQuery
from pipelines.core.tasks import PruneTask
from pipelines.core.types import Evidence, Filter, Hit
from services.evaluation.baselines import token_overlap
from services.evaluation.context import Context
from services.evaluation.data.candidates import embedded_text, list_candidates
from services.evaluation.data.sets import Item
from services.evaluation.figures import Figure, statistic_figures
from services.evaluation.measures.retrieval import question_of
from services.evaluation.metrics.auroc import auroc
from services.evaluation.metrics.risk_coverage import abstained_at, aurc, risks
from services.evaluation.result import Measure, Plot, ScoredItem, Series, TaskResult
from services.evaluation.statistics import Statistic
from services.evaluation.tables import figures_of

COVERAGE = 0.9
STAGE = "sufficiency"
RETRIEVAL, COSINE, WORDS = "retrieval score", "cosine of the best passage", "words in the best passage"
BASELINES = (RETRIEVAL, COSINE, WORDS)

AURC, AUROC, ABSTAINED = "AURC", "AUROC", f"abstained at {COVERAGE:.0%} coverage"
RIGHTLY, WRONGLY = "rightly abstained as configured", "wrongly abstained as configured"
MEASURES = (
    Measure(name=AURC, better="lower"),
    Measure(name=AUROC),
    Measure(name=ABSTAINED),
    Measure(name=RIGHTLY),
    Measure(name=WRONGLY, better="lower"),
    Measure(name="p50 ms", unit="ms", better="lower", headline=False),
)
POINTS = 50

PRESENT, REMOVED = "present", "removed"
NO_DOCUMENT = "none"
"""Names no document of any corpus: a filter by nothing would let everything through."""

Confidences = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Case:
    """A question with what was found for it.

    Attributes:
        arm: `PRESENT` or `REMOVED`, where each question is asked twice; empty otherwise.
    """

    item: Item
    hits: tuple[Hit, ...]
    answerable: bool
    cosine: float
    arm: str = ""


async def measure_abstention(context: Context) -> TaskResult:
    """Confidence of the real prune stage and of baselines in each item."""
    twice = context.evaluated.name == "nq_gold"
    cases = _with_and_without_gold(context) if twice else _answerable_and_not(context)
    scored: list[ScoredItem] = []
    confidence: dict[str, list[float]] = {system: [] for system in (*BASELINES, STAGE)}
    for case in cases:
        started = time.perf_counter()
        evidence = await _prune(context, case)
        ms = (time.perf_counter() - started) * 1000
        of_case = {
            RETRIEVAL: case.hits[0].score if case.hits else 0.0,
            COSINE: case.cosine,
            WORDS: max((token_overlap(case.item.question, embedded_text(hit.passage)) for hit in case.hits), default=0),
            STAGE: evidence.sufficiency,
        }
        for system, value in of_case.items():
            confidence[system].append(value)
        scored.append(_scored(case, evidence, of_case, ms))
    answerable = np.array([case.answerable for case in cases], bool)
    values = {system: np.array(each) for system, each in confidence.items()}
    return TaskResult(
        task="abstention",
        about="Whether confidence tells questions that the passages found answer from those that they do not.",
        baselines=BASELINES,
        measures=MEASURES,
        figures=(*_areas(values, answerable, 2 if twice else 1, context.seed), *_decisions(scored, context.seed)),
        plots=(_plot(values, ~answerable),),
        notes=(_note(cases, twice=twice),),
        items=tuple(scored),
    )


def _answerable_and_not(context: Context) -> list[_Case]:
    """Questions that come with a passage, which answers or does not; distractors stand beside it."""
    items = [item for item in context.questions() if item.candidates]
    return [
        _Case(each.item, each.hits, bool(each.item.answerable), each.cosine) for each in list_candidates(context, items)
    ]


def _with_and_without_gold(context: Context) -> list[_Case]:
    """Each question twice in a row: over the whole index, and over one that lacks its gold documents."""
    runtime, settings = context.runtime, context.settings.retrieve
    items = context.items()
    every = [document.id for document in context.evaluated.corpus()]
    vectors = runtime.encoder.embed([item.question for item in items]).vectors
    fusion = Fusion.of(settings)
    dense = replace(fusion, dense=1.0, bm25=0.0, section=0.0)
    found: list[tuple[Item, str, list[Hit], Hit | None]] = []
    for item, vector in zip(items, vectors, strict=True):
        query = [RankedQuery(item.question, vector)]
        for arm, confined in ((PRESENT, question_of(item).filter), (REMOVED, without_gold(item, every))):
            hits = runtime.store.search(query, limit=settings.top_k, fusion=fusion, filter=confined)
            near = runtime.store.search(query, limit=1, fusion=dense, filter=confined)
            found.append((item, arm, hits, near[0] if near else None))
    texts = [embedded_text(near.passage) if near else "" for *_, near in found]
    best = runtime.encoder.embed(texts).vectors
    cosines = (best * np.repeat(vectors, 2, axis=0)).sum(axis=1)
    return [
        _Case(
            item=item,
            hits=tuple(hits),
            answerable=any(hit.passage.source in item.gold for hit in hits),
            cosine=float(cosine),
            arm=arm,
        )
        for (item, arm, hits, _), cosine in zip(found, cosines, strict=True)
    ]


def without_gold(item: Item, corpus: Sequence[str]) -> Filter:
    """All documents but the gold ones. Ranks, and so fused scores, are those of an index that never had them."""
    others = [each for each in item.within or corpus if each not in item.gold]
    return question_of(replace(item, within=tuple(others or [NO_DOCUMENT]))).filter


async def _prune(context: Context, case: _Case) -> Evidence:
    asked = case.item.question
    deadline_s = context.settings.answer.deadline_s
    task = PruneTask(question=asked, asked=asked, hits=case.hits, timeout_s=deadline_s)
    return (await context.runtime.runner.prune(task)).evidence


def _scored(case: _Case, evidence: Evidence, confidence: Mapping[str, float], ms: float) -> ScoredItem:
    abstained = float(not evidence.sufficient)
    return ScoredItem(
        id=f"{case.item.id} {case.arm}".strip(),
        system=STAGE,
        scores={
            RIGHTLY: None if case.answerable else abstained,
            WRONGLY: abstained if case.answerable else None,
            "p50 ms": ms,
        },
        detail={"answerable": case.answerable, "confidence": dict(confidence)},
    )


def _areas(
    values: Mapping[str, Confidences], answerable: NDArray[np.bool_], arms: int, seed: int
) -> tuple[Figure, ...]:
    """Figures over questions; where each is asked twice, both its items are drawn together."""
    places = np.arange(len(answerable)).reshape(-1, arms)

    def over(measure: Callable[[Confidences, NDArray[np.bool_]], float]) -> dict[str, Statistic]:
        def of(confidence: Confidences) -> Statistic:
            def statistic(questions: NDArray[np.int64]) -> float:
                drawn = places[questions].ravel()
                return measure(confidence[drawn], answerable[drawn])

            return statistic

        return {system: of(confidence) for system, confidence in values.items()}

    measures: dict[str, Callable[[Confidences, NDArray[np.bool_]], float]] = {
        AURC: lambda confidence, answerable: aurc(confidence, ~answerable),
        AUROC: auroc,
        ABSTAINED: lambda confidence, answerable: abstained_at(confidence, answerable, COVERAGE),
    }
    return tuple(
        figure
        for name, measure in measures.items()
        for figure in statistic_figures(
            name, over(measure), len(places), baselines=BASELINES, seed=seed, lower=name == AURC
        )
    )


def _decisions(scored: Sequence[ScoredItem], seed: int) -> tuple[Figure, ...]:
    return figures_of(scored, [each for each in MEASURES if each.name in (RIGHTLY, WRONGLY, "p50 ms")], seed=seed)


def _plot(values: Mapping[str, Confidences], wrong: NDArray[np.bool_]) -> Plot:
    chosen = np.unique(np.linspace(1, len(wrong), POINTS).round().astype(int)) if len(wrong) else np.zeros(0, int)
    return Plot(
        title="Risk against coverage",
        x_label="share of questions answered, the most confident first",
        y_label="share of those that the passages do not answer",
        series=tuple(
            Series(
                name=system,
                x=tuple((chosen / len(wrong)).tolist()),
                y=tuple(risks(confidence, wrong)[chosen - 1].tolist()),
            )
            for system, confidence in values.items()
        ),
    )


def _note(cases: Sequence[_Case], *, twice: bool) -> str:
    answerable = sum(case.answerable for case in cases)
    asked = (
        f"Each of {len(cases) // 2} questions with its gold passages in the index and without"
        if twice
        else f"{len(cases)} questions over their passage and its nearest neighbours in the corpus"
    )
    return f"{asked}: a gold passage was among those found {answerable} times, {len(cases) - answerable} times none."
