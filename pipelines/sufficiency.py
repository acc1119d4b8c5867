"""Whether the evidence answers the question: what abstention rests on."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from pipelines.core.encoders import Head, Pair
from pipelines.core.odds import log_odds, sigmoid
from pipelines.core.text import terms
from pipelines.core.types import EvidenceItem, Hit, Usage
from pipelines.reading import Reading
from pipelines.relevance import coverage, term_weights

# Where no head reads: logistic regression on the two features that need none; see benchmarks/fit_sufficiency.py.
COSINE_WEIGHT = 5.72
COVERAGE_WEIGHT = 1.63
BIAS = -4.04

READ_FEATURES = ("bias", "passage", "helps", "cosine", "covered")
"""What sufficiency is made of where the head `evidence` reads; its calibration has their weights as `sufficient.NAME`:
its logit of the best passage, the log odds of the sentence that most probably helps, the cosine of `Features`, and the
coverage times the logarithm of how many terms the question has: of a long one no passage holds all."""
PART = "sufficient"
JUDGED_FEATURES = ("bias", "head", "estimate")
"""What it is made of where the head `sufficiency` reads as well: its logit, and the log odds by `READ_FEATURES`."""
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
        asked_terms: How many terms the question has.
    """

    best_sentence_cosine: float
    best_passage_coverage: float
    asked_terms: int = 0


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
    """Estimated probability that the evidence answers the question, where no head reads."""
    logit = COSINE_WEIGHT * features.best_sentence_cosine + COVERAGE_WEIGHT * features.best_passage_coverage + BIAS
    return sigmoid(logit)


@dataclass(frozen=True, slots=True)
class Read:
    """What the head `evidence` says of what it read.

    Attributes:
        passage: Its own logit of the best passage.
        helps: The highest probability that a sentence helps, 0 to 1.
        calibration: The head's.
    """

    passage: float
    helps: float
    calibration: Mapping[str, float]

    @classmethod
    def of(cls, reading: Reading, calibration: Mapping[str, float]) -> Self:
        """Of a reading of at least one hit."""
        helps = max((max(each, default=0.0) for each in reading.sentences), default=0.0)
        return cls(float(reading.logits.passages.max()), helps, calibration)


def read_row(read: Read, features: Features) -> tuple[float, ...]:
    """The values of `READ_FEATURES`."""
    helps = log_odds(read.helps, LEAST_PROBABILITY)
    covered = features.best_passage_coverage * math.log1p(features.asked_terms)
    return (1.0, read.passage, helps, features.best_sentence_cosine, covered)


def read_sufficiency(read: Read, features: Features) -> float:
    """The same where the head `evidence` read, by its calibration; as without it where that has nothing to say."""
    if f"{PART}.bias" not in read.calibration:
        return estimate_sufficiency(features)
    return sigmoid(_weighed(READ_FEATURES, read_row(read, features), read.calibration, f"{PART}."))


def judged_row(logit: float, estimate: float) -> tuple[float, ...]:
    """The values of `JUDGED_FEATURES`."""
    return (1.0, logit, log_odds(estimate, LEAST_PROBABILITY))


def judge_sufficiency(
    head: Head, questions: Sequence[str], estimates: Sequence[float], items: Sequence[EvidenceItem]
) -> tuple[float, Usage]:
    """The same with the head `sufficiency`, which reads each form of the question with the evidence.

    The likeliest form counts. Of a head that was not calibrated its own logit does.

    Args:
        estimates: What `read_sufficiency` gave, one a question.
    """
    scores = head.score([sufficiency_pair(question, items) for question in questions])
    weights = head.spec.calibration or {"head": 1.0}
    rows = [judged_row(*each) for each in zip(scores.pairs[:, 0].tolist(), estimates, strict=True)]
    return max(sigmoid(_weighed(JUDGED_FEATURES, row, weights)) for row in rows), scores.usage


def _weighed(names: Sequence[str], row: Sequence[float], weights: Mapping[str, float], prefix: str = "") -> float:
    return sum(weights.get(prefix + name, 0.0) * value for name, value in zip(names, row, strict=True))
