"""What the head `evidence` weighs beside words, ranks and named titles, and from where on a sentence is kept."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.core.encoders import Head
from pipelines.core.types import Hit
from pipelines.reading import (
    KEEP,
    PASSAGE_FEATURES,
    SENTENCE_FEATURES,
    Logits,
    by_hit,
    evidence_pair,
    links,
    passage_features,
    probability,
    sentence_features,
)
from services.training.logistic import fit_logistic

KEPT_GOLD = 0.95
"""Share of gold sentences that score at least as much as what is kept from."""
Words = Callable[[str, Sequence[Hit]], list[tuple[float, ...]]]
"""The sentences' scores by words and vectors, for each hit."""


@dataclass(frozen=True, slots=True)
class Case:
    """A question with hits of which the good ones are known.

    Attributes:
        good: For each hit whether each of its sentences helps; `None` where only passages are known.
        good_passages: Whether each hit helps.
    """

    question: str
    hits: tuple[Hit, ...]
    words: tuple[tuple[float, ...], ...]
    good: tuple[tuple[bool, ...], ...] | None
    good_passages: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class Read:
    """A case and what the head said of it."""

    case: Case
    logits: Logits


def read_cases(head: Head, cases: Sequence[Case]) -> list[Read]:
    """Reads all cases."""
    found = []
    for case in cases:
        scores = head.score([evidence_pair(case.question, hit) for hit in case.hits])
        found.append(Read(case, Logits(scores.pairs[:, 0], tuple(each[:, 0] for each in scores.spans))))
    return found


def calibrate(multi: Sequence[Read], single: Sequence[Read], unsure: Sequence[Read]) -> dict[str, float]:
    """The numbers of `HeadSpec.calibration`.

    Args:
        multi: Questions that need sentences of several passages.
        single: Questions that one passage answers.
        unsure: Questions of conversations, and such with words missing. Passages are weighed by these: with whole
            questions the retrieval is next to always right, and nothing could be learned.
    """
    both = [*multi, *(each for each in single if each.case.good)]
    alone = _fit_sentences(both, [None] * len(both))
    linked = [_linked(each, alone) for each in both]
    sentence = _fit_sentences(both, linked)
    passage = _weights(
        [passage_features(each.case.hits, range(len(each.case.hits)), each.logits, each.case.words) for each in unsure],
        [np.array(each.case.good_passages) for each in unsure],
    )
    probabilities = [probability(_features(each, link), sentence) for each, link in zip(both, linked, strict=True)]
    gold = np.concatenate([p[_labels(each)] for p, each in zip(probabilities, both, strict=True)])
    parts = (
        ("alone", SENTENCE_FEATURES, alone),
        ("sentence", SENTENCE_FEATURES, sentence),
        ("passage", PASSAGE_FEATURES, passage),
    )
    named = {
        f"{part}.{name}": round(float(value), 4)
        for part, names, values in parts
        for name, value in zip(names, values, strict=True)
    }
    return {**named, KEEP: round(float(np.quantile(gold, 1 - KEPT_GOLD)), 4)}


def _fit_sentences(reads: Sequence[Read], linked: Sequence[list[float] | None]) -> NDArray[np.float64]:
    rows = [_features(each, link) for each, link in zip(reads, linked, strict=True)]
    return _weights(rows, [_labels(each) for each in reads])


def _features(read: Read, linked: list[float] | None) -> NDArray[np.float64]:
    return sentence_features(read.case.question, read.case.hits, read.logits, read.case.words, linked=linked)


def _labels(read: Read) -> NDArray[np.bool_]:
    return np.array([label for each in read.case.good or () for label in each], np.bool_)


def _linked(read: Read, weights: NDArray[np.float64]) -> list[float]:
    probabilities = probability(_features(read, None), weights)
    return links(read.case.hits, by_hit(probabilities, read.case.hits))


def _weights(rows: Sequence[NDArray[np.float64]], labels: Sequence[NDArray[np.bool_]]) -> NDArray[np.float64]:
    """Logistic regression, the first feature being the bias."""
    weights, bias = fit_logistic(np.concatenate(rows)[:, 1:], np.concatenate(labels))
    return np.array([bias, *weights])
