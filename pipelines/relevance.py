"""How well sentences answer a question, and whether together they answer it: the in-process prune stage's measure."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.core.text import content_words

COSINE_WEIGHT = 0.6
OVERLAP_WEIGHT = 0.4


@dataclass(frozen=True, slots=True)
class Scored:
    """Scores of sentences, one a sentence in order, 0 to 1, higher is better."""

    scores: NDArray[np.float32]
    cosine: NDArray[np.float32]
    overlap: NDArray[np.float32]


def score_sentences(
    question: str, sentences: Sequence[str], question_vector: NDArray[np.float32], vectors: NDArray[np.float32]
) -> Scored:
    """Scores sentences by cosine to the question and by the question's words that they hold, rare words counting more.

    Args:
        question_vector: `(dim,)`, L2-normalised, as are the rows of `vectors`, `(len(sentences), dim)`.
    """
    cosine = np.clip(vectors @ question_vector, 0.0, 1.0)
    overlap = word_overlap(question, sentences)
    return Scored(COSINE_WEIGHT * cosine + OVERLAP_WEIGHT * overlap, cosine, overlap)


def word_overlap(question: str, sentences: Sequence[str]) -> NDArray[np.float32]:
    """The share of the question's content words in each sentence, weighted by their rarity among the sentences."""
    asked = set(content_words(question))
    bags = [set(content_words(sentence)) for sentence in sentences]
    if not asked or not bags:
        return np.zeros(len(bags), np.float32)
    frequency = Counter(word for bag in bags for word in bag & asked)
    rarity = {word: math.log(1 + len(bags) / (1 + frequency[word])) for word in asked}
    total = sum(rarity.values())
    return np.array([sum(rarity[word] for word in bag & asked) / total for bag in bags], np.float32)
