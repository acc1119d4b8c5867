"""Whether a trained head is better than the live one: both judged on the same held-out questions."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from pipelines.core.encoders import Pair
from pipelines.core.encoders.spec import HeadSpec
from pipelines.core.odds import label_log_odds, sigmoid
from pipelines.core.types import Value
from services.evaluation.statistics import Paired, mean, paired_interval
from services.training.examples import Example, groups_of

Scored = tuple[NDArray[np.float32], Sequence[NDArray[np.float32]]]
Score = Callable[[Sequence[Pair]], Scored]
"""Logits of pairs `(n, pair_labels)` and of their spans, `(spans, span_labels)` each."""

SEED = 7
MIN_QUESTIONS = 8
"""With fewer held-out questions an interval says next to nothing: no head is accepted by it."""
AVERAGE_PRECISION, BRIER = "average precision", "1 - Brier score"


class Verdict(Value):
    """A candidate beside the live head, a value a held-out question each.

    Attributes:
        measure: What a question's value is, 0 to 1, higher is better.
        accepted: The whole interval of the difference is above zero, and there were questions enough.
    """

    measure: str
    questions: int
    live: float
    candidate: float
    paired: Paired
    accepted: bool


def judge(spec: HeadSpec, examples: Sequence[Example], live: Score, candidate: Score) -> Verdict:
    """Measures both heads on held-out examples and compares them question by question."""
    before, after = values(spec, examples, live), values(spec, examples, candidate)
    names = sorted(before)
    old, new = [before[name] for name in names], [after[name] for name in names]
    paired = paired_interval(new, old, SEED)
    return Verdict(
        measure=measure_of(spec),
        questions=len(names),
        live=mean(old),
        candidate=mean(new),
        paired=paired,
        accepted=len(names) >= MIN_QUESTIONS and paired.interval[0] > 0,
    )


def measure_of(spec: HeadSpec) -> str:
    """What a head is judged by: evidence ranks passages and sentences, the others say yes or no."""
    return AVERAGE_PRECISION if spec.name == "evidence" else BRIER


def values(spec: HeadSpec, examples: Sequence[Example], score: Score) -> dict[str, float]:
    """Each question's value; a question without anything to rank has none where ranking is judged."""
    measure = _precision if measure_of(spec) == AVERAGE_PRECISION else _brier
    found: dict[str, float] = {}
    for group in groups_of(examples):
        pairs, spans = score([example.pair for example in group])
        labelled = _pair_labels(group, pairs), _span_labels(group, spans)
        parts = [part for logits, labels in labelled if (part := measure(logits, labels)) is not None]
        if parts:
            found[group[0].group or group[0].first] = mean(parts)
    return found


Labelled = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Logits `(n, labels)`, and what they should say: probabilities where there is one label, else places."""


def _pair_labels(group: Sequence[Example], logits: NDArray[np.float32]) -> Labelled:
    known = [at for at, example in enumerate(group) if example.label is not None]
    return logits[known].astype(np.float64), np.array([group[at].label for at in known], np.float64)


def _span_labels(group: Sequence[Example], logits: Sequence[NDArray[np.float32]]) -> Labelled:
    known = [at for at, example in enumerate(group) if example.span_labels]
    labels = [each for at in known for each in group[at].span_labels or ()]
    found = np.concatenate([logits[at] for at in known]) if known else np.zeros((0, 0), np.float32)
    return found.astype(np.float64), np.array(labels, np.float64)


def _brier(logits: NDArray[np.float64], labels: NDArray[np.float64]) -> float | None:
    """One less the mean squared difference of probability and label.

    Source: Brier, "Verification of forecasts expressed in terms of probability" (1950), halved for several labels.
    """
    if not logits.size:
        return None
    if logits.shape[1] == 1:
        said = sigmoid(logits[:, 0])
        return float(1 - np.mean((said - labels) ** 2))
    said = sigmoid(label_log_odds(logits))
    right = np.eye(logits.shape[1])[labels.astype(int)]
    return float(1 - np.mean(np.sum((said - right) ** 2, axis=1)) / 2)


def _precision(logits: NDArray[np.float64], labels: NDArray[np.float64]) -> float | None:
    """Average precision of the order by logit."""
    if not logits.size:
        return None
    good = (labels > 0.5)[np.argsort(-logits[:, 0], kind="stable")]
    if not good.any() or good.all():
        return None
    return float(np.mean((np.cumsum(good) / np.arange(1, len(good) + 1))[good]))


def table(verdict: Verdict) -> Mapping[str, str]:
    """The figures of a verdict, for a person."""
    low, high = verdict.paired.interval
    return {
        "measure": verdict.measure,
        "held-out questions": f"{verdict.questions:,}",
        "live": f"{verdict.live:.4f}",
        "candidate": f"{verdict.candidate:.4f}",
        "difference": f"{verdict.paired.difference:+.4f} (95 % interval {low:+.4f} to {high:+.4f})",
        "better / equal / worse": f"{verdict.paired.wins} / {verdict.paired.ties} / {verdict.paired.losses}",
    }
