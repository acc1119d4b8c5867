"""What sufficiency is made of: weights fitted on questions with their answer in the corpus and without it.

Every source of questions counts the same, so that no domain is abstained on to the good of another. The bias is not
that of the cases, half of which cannot be answered: it is such that the default threshold abstains wrongly as seldom as
`WRONG_ABSTENTION`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipelines.core.encoders import Encoder, Head, Heads
from pipelines.core.encoders.heads import HeadScores
from pipelines.core.encoders.pairs import Pair
from pipelines.core.encoders.spec import HeadName
from pipelines.core.odds import log_odds, sigmoid
from pipelines.core.settings import EncoderSettings, HeadSettings, PruneSettings
from pipelines.core.tasks import PruneTask
from pipelines.core.types import Evidence, Usage
from pipelines.prune import EncoderPruner
from pipelines.sufficiency import PART, READ_FEATURES, Features, Read, read_row
from services.evaluation.metrics.auroc import auroc
from services.training.logistic import fit_logistic
from services.training.sufficiency.cases import Case, held_out_cases

WRONG_ABSTENTION = 0.05
FOLDS = 5
SCALE = 100.0
"""Cases of one source count as so many together: against the penalty on weights."""

Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Measured:
    """A case, and what the prune stage found in it."""

    case: Case
    read: Read
    features: Features
    evidence: Evidence


def measure(cases: Iterable[Case], head: Head, encoder: Encoder) -> list[Measured]:
    """Has the prune stage choose the evidence of all cases, by this head `evidence`. Reads no passage twice."""
    pruner = EncoderPruner(encoder, PruneSettings(), OneHead(Remembering(head)))
    found = []
    for case in cases:
        task = PruneTask(question=case.question, asked=case.question, hits=case.hits, timeout_s=60)
        evidence, scored = pruner.select(task)
        if scored.read:
            found.append(Measured(case, scored.read, scored.features[0], evidence))
    return found


def sufficiency_weights(head: Head, encoder: Encoder, data: Path, seed: int) -> dict[str, float]:
    """What the calibration of a head `evidence` says of sufficiency. Takes some minutes.

    Raises:
        InvalidRequestError: a set is missing or malformed.
    """
    return named(fit_read(measure(held_out_cases(encoder, data, seed), head, encoder)))


def fit_read(measured: Sequence[Measured]) -> "Fit":
    """Weights of `READ_FEATURES`."""
    rows = np.array([read_row(each.read, each.features) for each in measured])
    return fit(rows, [each.case for each in measured])


def named(fitted: "Fit") -> dict[str, float]:
    """Weights of `READ_FEATURES` as a calibration has them."""
    return {
        f"{PART}.{name}": round(weight, 4) for name, weight in zip(READ_FEATURES, fitted.weights.tolist(), strict=True)
    }


class Remembering(Head):
    """A head that says what it said before of a pair that it read already."""

    def __init__(self, head: Head) -> None:
        self.spec, self._head = head.spec, head
        self._said: dict[Pair, tuple[NDArray[np.float32], NDArray[np.float32]]] = {}

    def score(self, pairs: Sequence[Pair]) -> HeadScores:
        """See `Head.score`."""
        new = [pair for pair in pairs if pair not in self._said]
        scores = self._head.score(new)
        self._said.update(zip(new, zip(scores.pairs, scores.spans, strict=True), strict=True))
        said = [self._said[pair] for pair in pairs]
        return HeadScores(np.array([pair for pair, _ in said]), tuple(spans for _, spans in said), Usage())


class OneHead(Heads):
    """This head `evidence` and no other."""

    def __init__(self, head: Head) -> None:
        super().__init__(EncoderSettings(), HeadSettings())
        self._head = head

    def get(self, name: HeadName) -> Head | None:
        """See `Heads.get`."""
        return self._head if name == "evidence" else None


@dataclass(frozen=True, slots=True)
class Fit:
    """Weights, the first of the bias, and how cases fare with weights that were fitted on others."""

    weights: Matrix
    scores: Matrix


def fit(rows: Matrix, cases: Sequence[Case]) -> Fit:
    """Fits weights of features, the first of which is 1."""
    enough = np.array([case.answerable for case in cases])
    counts = _counts(cases)
    question = np.array([hash_of(case.question) % FOLDS for case in cases])
    scores = np.zeros(len(cases))
    for fold in range(FOLDS):
        rest, here = question != fold, question == fold
        scores[here] = rows[here] @ _weights(rows[rest], enough[rest], counts[rest])
    return Fit(_weights(rows, enough, counts), scores)


def _weights(rows: Matrix, enough: NDArray[np.bool_], counts: Matrix) -> Matrix:
    weights, _ = fit_logistic(rows[:, 1:], enough, counts=counts)
    scores = rows[:, 1:] @ weights
    bias = log_odds(PruneSettings().min_sufficiency) - _quantile(scores[enough], counts[enough], WRONG_ABSTENTION)
    return np.array([bias, *weights])


def _quantile(values: Matrix, counts: Matrix, share: float) -> float:
    """The value that so much of the weight lies below."""
    order = np.argsort(values, kind="stable")
    below = np.cumsum(counts[order]) / counts.sum()
    return float(values[order][int(np.searchsorted(below, share))])


def _counts(cases: Sequence[Case]) -> Matrix:
    """How much each case counts: those of each source together the same."""
    sources = [case.source for case in cases]
    return np.array([SCALE / sources.count(source) for source in sources])


def hash_of(question: str) -> int:
    """The same in every run; the two cases of a question stay together."""
    return sum(question.encode())


def report(scores: Matrix, cases: Sequence[Case]) -> dict[str, dict[str, float]]:
    """By source: how well log odds tell the cases apart, and how often the default threshold abstains."""
    enough = np.array([case.answerable for case in cases])
    abstained = sigmoid(scores) < PruneSettings().min_sufficiency
    sources = np.array([case.source for case in cases])
    found = {}
    for source in sorted(set(sources)):
        of = sources == source
        found[source] = {
            "questions": int(enough[of].sum()),
            "AUROC": round(auroc(scores[of], enough[of]), 3),
            "wrongly abstained": round(float(abstained[of & enough].mean()), 3),
            "rightly abstained": round(float(abstained[of & ~enough].mean()), 3),
        }
    names = ("AUROC", "wrongly abstained", "rightly abstained")
    return {
        **found,
        "mean": {name: round(float(np.mean([each[name] for each in found.values()])), 3) for name in names},
    }
