"""What anybody would try first: words in common, BM25, cosine. Every stage is measured beside them in the same run."""

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from pipelines.core.text import fold

Scores = NDArray[np.float64]
Words = Callable[[str], Sequence[str]]

K1, B = 0.9, 0.4
"""Pyserini's defaults."""

_WORD = re.compile(r"\w+")


def words(text: str) -> list[str]:
    """The words of a text, folded, in order; nothing is left out."""
    return _WORD.findall(fold(text))


class Bm25:
    """BM25 over a few texts.

    Source: Robertson and Zaragoza, "The Probabilistic Relevance Framework" (2009), section 3.4, with the inverse
    document frequency kept above zero as Lucene does.
    """

    def __init__(self, texts: Sequence[str], cut: Words = words) -> None:
        self._cut = cut
        self._counts = [Counter(cut(text)) for text in texts]
        lengths = np.array([counts.total() for counts in self._counts], np.float64)
        self._norm = K1 * (1 - B + B * lengths / max(1.0, float(lengths.mean()))) if len(lengths) else lengths
        self._held = Counter(word for counts in self._counts for word in counts)

    def scores(self, question: str) -> Scores:
        """One score a text, `(n,)`, 0 and up; each word of the question counts once."""
        total = np.zeros(len(self._counts))
        for word in set(self._cut(question)) & self._held.keys():
            idf = math.log(1 + (len(self._counts) - self._held[word] + 0.5) / (self._held[word] + 0.5))
            times = np.array([counts[word] for counts in self._counts], np.float64)
            total += idf * times * (K1 + 1) / (times + self._norm)
        return total


def scaled(scores: Scores) -> Scores:
    """From 0 for the lowest to 1 for the highest; 0 where all are the same."""
    low, high = float(scores.min()), float(scores.max())
    return (scores - low) / (high - low) if high > low else np.zeros_like(scores)


def reciprocal_ranks(scores: Scores, k: int = 60) -> Scores:
    """`1 / (k + rank)`, ranks from 1, the first of equals before the next.

    Source: Cormack et al., "Reciprocal Rank Fusion outperforms Condorcet" (SIGIR 2009).
    """
    ranks = np.empty(len(scores))
    ranks[np.argsort(-scores, kind="stable")] = np.arange(1, len(scores) + 1)
    return 1 / (k + ranks)


def token_overlap(claim: str, source: str) -> float:
    """The share of the claim's words, repetitions counted, that the source holds, 0 to 1."""
    claimed, held = words(claim), set(words(source))
    return sum(word in held for word in claimed) / len(claimed) if claimed else 0.0
