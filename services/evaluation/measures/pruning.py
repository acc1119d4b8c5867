"""How much of the evidence the prune stage keeps, and how much text with it.

The curve is as in the standing figures of the sets: sentences are taken best first until the next one would take more
than the given share of all the candidates' tokens, which are words between white space. A question's figure is the
share of its gold sentences among them; the mean is over questions. A sentence is scored with its passage's title before
it, and titles cost nothing.
"""

import time
from collections.abc import Mapping, Sequence

import numpy as np

from pipelines.core.encoders import Encoder
from pipelines.core.tasks import PruneTask
from pipelines.core.text import terms
from pipelines.core.types import Evidence
from pipelines.prune import EncoderPruner
from services.evaluation.baselines import Bm25, Scores, scaled
from services.evaluation.context import Context
from services.evaluation.data.candidates import Candidates, Vector, list_candidates
from services.evaluation.data.sets import Item
from services.evaluation.figures import ALL, Figure
from services.evaluation.result import Measure, Plot, ScoredItem, Series, TaskResult
from services.evaluation.tables import figures_of

SHARES = (0.1, 0.2, 0.3, 0.5)
STAGE = "prune stage"
LEAD, BM25, COSINE, BOTH, STEMS = "lead", "BM25", "cosine", "BM25 + cosine", "BM25 of stems + cosine"
BASELINES = (LEAD, BM25, COSINE, BOTH, STEMS)
SAME_TOKENS, TOKENS = "gold kept in the stage's tokens", "tokens the stage keeps"


def at_share(share: float) -> str:
    """The measure's name."""
    return f"gold kept at {share:.0%} of tokens"


MEASURES = (
    *(Measure(name=at_share(share)) for share in SHARES),
    Measure(name=SAME_TOKENS),
    Measure(name=TOKENS, better="lower"),
    Measure(name="p50 ms", unit="ms", better="lower"),
    Measure(name="p95 ms", unit="ms", better="lower", headline=False),
)


async def measure_pruning(context: Context) -> TaskResult:
    """Scores the sentences of every question's candidates with every system."""
    items = [item for item in context.evaluated.items if _has_sentences(item)]
    questions = list_candidates(context, context.first(items))
    vectors = _vectors(context.runtime.encoder, questions)
    scored: list[ScoredItem] = []
    if questions:
        await _stage(context, questions[0])  # so that the first question is not slower than the next
    for question in questions:
        evidence, stage_scores, ms = await _stage(context, question)
        systems = _baseline_scores(question, vectors)
        if stage_scores is not None:
            systems[STAGE] = stage_scores
        scored += _score(question, systems, evidence, ms)
    figures = figures_of(scored, MEASURES, baselines=BASELINES, seed=context.seed)
    return TaskResult(
        task="pruning",
        about="Share of the gold sentences among those kept, of candidates that come with the question.",
        baselines=BASELINES,
        measures=MEASURES,
        figures=figures,
        plots=(_plot(figures),),
        notes=(f"{len(context.evaluated.questions) - len(items)} questions without gold sentences were left out.",),
        items=tuple(scored),
    )


def keep(scores: Scores, tokens: Sequence[int], room: float) -> list[int]:
    """The best sentences, best first, up to the first that does not fit into the room."""
    kept: list[int] = []
    for at in np.argsort(-scores, kind="stable").tolist():
        room -= tokens[at]
        if room < 0:
            break
        kept.append(at)
    return kept


def _has_sentences(item: Item) -> bool:
    return bool(item.candidates) and bool(item.evidence) and all(gold.sent_ids for gold in item.evidence)


def _sentences(question: Candidates) -> list[tuple[str, int]]:
    return [(passage.id, index) for passage in question.passages for index in range(len(passage.sentences))]


def _titled(question: Candidates) -> list[str]:
    return [
        f"{passage.title}: {passage.quote(sentence)}" for passage in question.passages for sentence in passage.sentences
    ]


def _vectors(encoder: Encoder, questions: Sequence[Candidates]) -> Mapping[str, Vector]:
    texts = dict.fromkeys(text for question in questions for text in (question.item.question, *_titled(question)))
    return dict(zip(texts, encoder.embed(list(texts)).vectors, strict=True))


def _baseline_scores(question: Candidates, vectors: Mapping[str, Vector]) -> dict[str, Scores]:
    asked, texts = question.item.question, _titled(question)
    cosine = np.array([vectors[text] @ vectors[asked] for text in texts], np.float64)
    bm25 = Bm25(texts).scores(asked)
    stems = Bm25(texts, lambda text: sorted(terms(text))).scores(asked)
    return {
        LEAD: -np.array([index for _, index in _sentences(question)], np.float64),
        BM25: bm25,
        COSINE: cosine,
        BOTH: scaled(bm25) + scaled(cosine),
        STEMS: scaled(stems) + scaled(cosine),
    }


async def _stage(context: Context, question: Candidates) -> tuple[Evidence, Scores | None, float]:
    """What the real stage keeps, its scores of all sentences where it works in process, and the stage's time."""
    asked = question.item.question
    pruner = context.runtime.runner.prune
    task = PruneTask(question=asked, asked=asked, hits=question.hits, timeout_s=context.settings.answer.deadline_s)
    started = time.perf_counter()
    result = await pruner(task)
    ms = (time.perf_counter() - started) * 1000
    if not isinstance(pruner, EncoderPruner):
        return result.evidence, None, ms
    of_passage = {scored.hit.passage.id: scored.scores for scored in pruner.score(task).hits}
    return result.evidence, np.array([of_passage[id_][index] for id_, index in _sentences(question)]), ms


def _score(question: Candidates, systems: Mapping[str, Scores], evidence: Evidence, ms: float) -> list[ScoredItem]:
    """Every system's figures of one question; the baselines also with as many tokens as the stage keeps."""
    places = _sentences(question)
    tokens = [len(passage.quote(each).split()) for passage in question.passages for each in passage.sentences]
    stage = {(item.passage.id, index) for item in evidence.items for index in item.kept}
    kept_tokens = sum(count for place, count in zip(places, tokens, strict=True) if place in stage)

    def recall(scores: Scores, room: float) -> float:
        return len({places[at] for at in keep(scores, tokens, room)} & question.gold) / len(question.gold)

    scored = []
    for system in dict.fromkeys((*systems, STAGE)):
        figures: dict[str, float | None] = {}
        if system in systems:
            figures = {at_share(share): recall(systems[system], share * sum(tokens)) for share in SHARES}
        if system == STAGE:
            figures |= {
                SAME_TOKENS: len(stage & question.gold) / len(question.gold),
                TOKENS: kept_tokens / sum(tokens),
                "p50 ms": ms,
                "p95 ms": ms,
            }
        else:
            figures[SAME_TOKENS] = recall(systems[system], kept_tokens)
        scored.append(ScoredItem(id=question.item.id, system=system, group=question.item.group, scores=figures))
    return scored


def _plot(figures: Sequence[Figure]) -> Plot:
    systems = dict.fromkeys(each.system for each in figures if each.measure == at_share(SHARES[0]) and each.interval)
    curves = []
    for system in systems:
        points = [
            each
            for share in SHARES
            for each in figures
            if (each.system, each.measure, each.group) == (system, at_share(share), ALL)
        ]
        bounds = [each.interval or (0.0, 0.0) for each in points]
        curves.append(
            Series(
                name=system,
                x=SHARES,
                y=tuple(each.value or 0.0 for each in points),
                low=tuple(low for low, _ in bounds),
                high=tuple(high for _, high in bounds),
            )
        )
    return Plot(
        title="Gold sentences kept",
        x_label="share of tokens kept",
        y_label="share of gold sentences kept",
        series=tuple(curves),
    )
