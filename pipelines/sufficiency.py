"""Whether the evidence answers the question: what abstention rests on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from pipelines.core.encoders import Head, Pair
from pipelines.core.odds import log_odds, sigmoid
from pipelines.core.text import terms
from pipelines.core.types import EvidenceItem, Hit, Usage
from pipelines.relevance import coverage, term_weights

# Without the head: logistic regression on nq_gold train, every question with its gold passage in the index and without.
COSINE_WEIGHT = 13.94
COVERAGE_WEIGHT = 1.31
BIAS = -9.16

FEATURES = ("head", "passage", "sentence", "cosine", "coverage")
"""Calibration of the head: what its logit weighs, what the log odds of the best passage and of the best sentence by the
head `evidence`, and what `Features`, beside `bias`."""
LEAST_PROBABILITY = 0.001
"""Probabilities nearer to 0 or 1 count as this far away."""
MAX_EVIDENCE_CHARS = 1600
"""Characters of evidence that the head reads, the best first: what fits into one window, or nearly."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A passage's title and section, and those of its sentences that are evidence."""

    context: str
    sentences: tuple[str, ...]

    @classmethod
    def of(cls, item: EvidenceItem) -> Self:
        """What the prune stage kept of a passage."""
        passage = item.passage
        return cls(passage.context, tuple(passage.quote(passage.sentences[index]).strip() for index in item.kept))


def evidence_text(shown: Sequence[Shown]) -> str:
    """Evidence as the head reads it: a passage a line, its title before its sentences."""
    lines = (
        f"{each.context}: {' '.join(each.sentences)}" if each.context else " ".join(each.sentences) for each in shown
    )
    return "\n".join(" ".join(line.split()) for line in lines)[:MAX_EVIDENCE_CHARS]


def sufficiency_pair(question: str, items: Sequence[EvidenceItem]) -> Pair:
    """The question with its evidence, best passage first."""
    best = sorted(items, key=lambda item: -item.score)
    return Pair(first=question, second=evidence_text([Shown.of(item) for item in best]))


@dataclass(frozen=True, slots=True)
class Features:
    """What sufficiency is estimated from.

    Attributes:
        best_sentence_cosine: Highest cosine of the question with a sentence of the evidence, its nearest heading before
            it.
        best_passage_coverage: Highest share of the question's terms, rare ones weighing more, that one passage of the
            evidence holds.
    """

    best_sentence_cosine: float
    best_passage_coverage: float


def best_passage_coverage(question: str, hits: Sequence[Hit], evidence: int) -> float:
    """The coverage feature, 0 to 1.

    Args:
        hits: All that was retrieved; how rare a term is, is counted among them.
        evidence: How many of them, from the first, may become evidence.
    """
    bags = [terms(hit.passage.context) | terms(hit.passage.text) for hit in hits]
    weights = term_weights(terms(question), bags)
    return max((coverage(weights, bag) for bag in bags[:evidence]), default=0.0)


def estimate_sufficiency(features: Features) -> float:
    """Estimated probability that the evidence answers the question, without the head."""
    logit = COSINE_WEIGHT * features.best_sentence_cosine + COVERAGE_WEIGHT * features.best_passage_coverage + BIAS
    return sigmoid(logit)


@dataclass(frozen=True, slots=True)
class Read:
    """What the head `evidence` says of the best passage and the best sentence, 0 to 1 each."""

    passage: float
    sentence: float


def read_sufficiency(
    head: Head, questions: Sequence[str], features: Sequence[Features], read: Read, items: Sequence[EvidenceItem]
) -> tuple[float, Usage]:
    """The same with the head, which reads each form of the question with the evidence; the likeliest form counts.

    Args:
        features: One a question.
    """
    scores = head.score([sufficiency_pair(question, items) for question in questions])
    odds = scores.pairs[:, 0].tolist()
    rows = [feature_row(logit, read, each) for logit, each in zip(odds, features, strict=True)]
    return max(weighed(row, head.spec.calibration) for row in rows), scores.usage


def feature_row(logit: float, read: Read, features: Features) -> tuple[float, ...]:
    """The values of `FEATURES`."""
    cosine, share = features.best_sentence_cosine, features.best_passage_coverage
    passage, sentence = (log_odds(each, LEAST_PROBABILITY) for each in (read.passage, read.sentence))
    return (logit, passage, sentence, cosine, share)


def weighed(row: Sequence[float], calibration: Mapping[str, float]) -> float:
    """The probability by a head's calibration; by its logit alone where it has none."""
    weights = [calibration.get(name, float(name == "head" and not calibration)) for name in FEATURES]
    logit = sum(weight * value for weight, value in zip(weights, row, strict=True)) + calibration.get("bias", 0.0)
    return sigmoid(logit)
