"""What words alone find in a corpus: near misses without embedding a corpus for them."""

import math
from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np

from pipelines.core.text import content_words, term_of, terms
from services.training.texts import Text

K1, B = 1.2, 0.75


class Lexical:
    """BM25 over texts with their contexts, in memory.

    Source: Robertson and Zaragoza, "The Probabilistic Relevance Framework" (2009), section 3.
    """

    def __init__(self, texts: Sequence[Text]) -> None:
        self._texts = texts
        postings: dict[str, list[tuple[int, float]]] = defaultdict(list)
        bags = [Counter(map(term_of, content_words(f"{text.context} {text.text}"))) for text in texts]
        lengths = [sum(bag.values()) for bag in bags]
        mean = sum(lengths) / max(1, len(lengths))
        for at, (bag, length) in enumerate(zip(bags, lengths, strict=True)):
            for term, count in bag.items():
                postings[term].append((at, count * (K1 + 1) / (count + K1 * (1 - B + B * length / mean))))
        self._postings = {
            term: (np.array([at for at, _ in found]), np.array([value for _, value in found], np.float32))
            for term, found in postings.items()
        }

    def find(self, question: str, limit: int) -> list[Text]:
        """The best texts for a question, at most `limit`, best first."""
        scores = np.zeros(len(self._texts), np.float32)
        for term in sorted(terms(question)):
            if term in self._postings:
                places, values = self._postings[term]
                scores[places] += math.log(1 + (len(scores) - len(places) + 0.5) / (len(places) + 0.5)) * values
        best = np.argsort(-scores, kind="stable")[:limit]
        return [self._texts[at] for at in best if scores[at] > 0]

    def weights(self, question: str) -> dict[str, float]:
        """How rare each term of a question is."""
        count = len(self._texts)
        held = {term: len(self._postings[term][0]) if term in self._postings else 0 for term in sorted(terms(question))}
        return {term: math.log(1 + (count - some + 0.5) / (some + 0.5)) for term, some in held.items()}
