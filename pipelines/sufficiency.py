"""Whether the evidence answers the question: what abstention rests on."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.core.text import terms
from pipelines.core.types import Hit
from pipelines.relevance import coverage, term_weights

# Logistic regression on nq_gold train, every question asked with its gold passage in the index and with it removed;
# `python benchmarks/fit_sufficiency.py --data DIR` fits them again.
COSINE_WEIGHT = 13.94
COVERAGE_WEIGHT = 1.31
BIAS = -9.16


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
    """Estimated probability that the evidence answers the question."""
    logit = COSINE_WEIGHT * features.best_sentence_cosine + COVERAGE_WEIGHT * features.best_passage_coverage + BIAS
    return 1.0 / (1.0 + math.exp(-logit))
