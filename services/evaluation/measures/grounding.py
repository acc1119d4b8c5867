"""Whether a measure of support agrees with people on which sources state which claims."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.bind import MIN_SUPPORT
from pipelines.cite import read_claims
from pipelines.core.encoders import Encoder
from pipelines.core.sentences import sentence_spans
from pipelines.core.types import MARKER
from pipelines.support import coverage, support_scores
from pipelines.verify import Check, Verifier
from services.evaluation.baselines import Scores, token_overlap
from services.evaluation.context import Context
from services.evaluation.data.rows import GroundingRow, read
from services.evaluation.data.split import CLAIMS_HELD_OUT, claim_group, is_held_out
from services.evaluation.figures import Figure, statistic_figures
from services.evaluation.metrics.auroc import auroc
from services.evaluation.metrics.balanced_accuracy import balanced_accuracy, best_threshold
from services.evaluation.result import Measure, ScoredItem, TaskResult
from services.evaluation.statistics import Statistic

OVERLAP, COSINE = "token overlap", "cosine"
WORDS, HEAD = "words, numbers and cosine", "head support"
BASELINES = (OVERLAP, COSINE)

ACCURACY, BEST, AUROC = "balanced accuracy", "balanced accuracy at its best threshold", "AUROC"
SHIPPED = "balanced accuracy as shipped"
MEASURES = (Measure(name=ACCURACY), Measure(name=SHIPPED), Measure(name=BEST), Measure(name=AUROC))

NEAREST = 20
"""Sentences of a long page that are looked at: those with most of the claim's words. Overlap sees all of it."""
FAITHFUL = 3.0
"""People's mean score, 1 to 4, above which an answer counts as faithful."""
BATCH = 64

Labels = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Judged:
    """What people judged: one claim, or an answer of several, against its sources.

    Attributes:
        sentences: Of all its sources, in order.
        supported: What people said.
        context: Title of the page that the sentences are of.
    """

    id: str
    claims: tuple[str, ...]
    sentences: tuple[str, ...]
    supported: bool
    context: str = ""


async def measure_grounding(context: Context) -> TaskResult:
    """Scores every claim with every system; thresholds come from the set's training part where it has one."""
    judged = [judged_of(row) for row in context.rows("grounding", GroundingRow)]
    scores = _scores(context, judged)
    true = np.array([each.supported for each in judged], bool)
    trained = _training(context)
    if trained:
        training_scores, labels = _scores(context, trained), np.array([each.supported for each in trained], bool)
        said = {name: scores[name] >= best_threshold(training_scores[name], labels) for name in scores}
        chosen = (
            f"the threshold with the highest balanced accuracy on the {len(trained)} claims of the training part that "
            "no head was trained on, for all systems the same"
        )
    else:
        said = {name: _cross_fitted(each, true, context.seed) for name, each in scores.items()}
        chosen = (
            "each half's threshold is the best one of the other half: no claims held out of training have both labels"
        )
    return TaskResult(
        task="grounding",
        about="Whether scores of support tell claims that people found supported from the others.",
        measures=MEASURES,
        figures=_figures(context, scores, said, true),
        notes=(
            f"{ACCURACY}: {chosen}.",
            f"{BEST}: the threshold was chosen on the measured claims themselves, as in the sets' standing figures.",
        ),
        items=_items(judged, scores),
    )


def judged_of(row: GroundingRow) -> Judged:
    """A line of any of the sets in the form that all share."""
    if row.faithful_mean is not None:
        claims = tuple(claim.text for claim in read_claims(row.claim_or_response) if claim.states)
        sentences = _cut(passage.text for passage in row.context)
        return Judged(row.id, claims or (row.claim_or_response,), sentences, row.faithful_mean > FAITHFUL)
    supported = (
        row.supported if row.supported is not None else (row.label or "").casefold() in ("supported", "supports")
    )
    sentences = row.context_sentences or row.gold_evidence or _cut(passage.text for passage in row.context)
    return Judged(row.id, (MARKER.sub("", row.claim_or_response).strip(),), sentences, supported, row.page)


def _cut(texts: Iterable[str]) -> tuple[str, ...]:
    pieces = (text[start:end].strip() for text in texts for start, end in sentence_spans(text))
    return tuple(piece for piece in pieces if piece)


def _training(context: Context) -> list[Judged]:
    """The claims of the training part that the head was not trained on, if they have both labels."""
    path = context.evaluated.folder / "train" / "grounding.jsonl.gz"
    if context.evaluated.split == "train" or not path.is_file():
        return []
    name = context.evaluated.name
    held_out = [row for row in read(path, GroundingRow) if is_held_out(claim_group(name, row), CLAIMS_HELD_OUT)]
    judged = [judged_of(row) for row in context.first(held_out)]
    return judged if len({each.supported for each in judged}) > 1 else []


def _scores(context: Context, judged: Sequence[Judged]) -> dict[str, Scores]:
    """One score a claim and system; of an answer of several claims, their mean."""
    encoder, head = context.runtime.encoder, context.runtime.heads.get("support")
    verifier = Verifier(head, encoder) if head else None
    checks = [_check(each, claim) for each in judged for claim in each.claims]
    by_claim: dict[str, list[float]] = {
        OVERLAP: [token_overlap(claim, " ".join(each.sentences)) for each in judged for claim in each.claims],
        COSINE: [],
        WORDS: [_best(support_scores([check.claim], check.sources, encoder)[0]) for check in checks],
    }
    for first in range(0, len(checks), BATCH):
        some = checks[first : first + BATCH]
        by_claim[COSINE] += _cosines(encoder, some)
        if verifier:
            by_claim.setdefault(HEAD, []).extend(verdict.support for verdict in verifier.verify(some)[0])
    places = np.repeat(np.arange(len(judged)), [len(each.claims) for each in judged])
    counts = np.bincount(places, minlength=len(judged))
    return {
        name: np.bincount(places, weights=values, minlength=len(judged)) / counts for name, values in by_claim.items()
    }


def _check(judged: Judged, claim: str) -> Check:
    nearest = sorted(judged.sentences, key=lambda sentence: -coverage(claim, sentence))[:NEAREST]
    return Check(claim, nearest, [judged.context] * len(nearest))


def _cosines(encoder: Encoder, checks: Sequence[Check]) -> list[float]:
    """Of each claim with the sentence that is nearest to it."""
    texts = list(dict.fromkeys(text for check in checks for text in (check.claim, *check.sources)))
    vectors = dict(zip(texts, encoder.embed(texts).vectors, strict=True))
    return [_best(np.array([vectors[check.claim] @ vectors[text] for text in check.sources])) for check in checks]


def _best(scores: NDArray[np.float32]) -> float:
    return float(scores.max()) if scores.size else 0.0


def _cross_fitted(scores: Scores, true: Labels, seed: int) -> Labels:
    """What is said of each half with the threshold that is best on the other."""
    order = np.random.default_rng(seed).permutation(len(true))
    said = np.zeros(len(true), bool)
    for part, other in ((order[::2], order[1::2]), (order[1::2], order[::2])):
        if len(other):
            said[part] = scores[part] >= best_threshold(scores[other], true[other])
    return said


def _figures(
    context: Context, scores: Mapping[str, Scores], said: Mapping[str, Labels], true: Labels
) -> tuple[Figure, ...]:
    best = {name: each >= best_threshold(each, true) for name, each in scores.items()} if len(true) else {}
    shipped = HEAD if HEAD in scores else WORDS
    by_measure: dict[str, dict[str, Statistic]] = {
        ACCURACY: {name: _accuracy(each, true) for name, each in said.items()},
        SHIPPED: {shipped: _accuracy(scores[shipped] >= _least(context), true)},
        BEST: {name: _accuracy(each, true) for name, each in best.items()},
        AUROC: {name: _area(each, true) for name, each in scores.items()},
    }
    return tuple(
        figure
        for measure, statistics in by_measure.items()
        for figure in statistic_figures(measure, statistics, len(true), baselines=BASELINES, seed=context.seed)
    )


def _least(context: Context) -> float:
    """The support from which the cite stage takes a claim for supported."""
    configured, head = context.settings.cite.min_support, context.runtime.heads.get("support")
    if configured is not None:
        return configured
    return Verifier(head, context.runtime.encoder).min_support if head else MIN_SUPPORT


def _accuracy(said: Labels, true: Labels) -> Statistic:
    return lambda places: balanced_accuracy(said[places], true[places])


def _area(scores: Scores, true: Labels) -> Statistic:
    return lambda places: auroc(scores[places], true[places])


def _items(judged: Sequence[Judged], scores: Mapping[str, Scores]) -> tuple[ScoredItem, ...]:
    return tuple(
        ScoredItem(id=each.id, system=name, scores={"support": float(score)}, detail={"supported": each.supported})
        for name, values in scores.items()
        for each, score in zip(judged, values, strict=True)
    )
