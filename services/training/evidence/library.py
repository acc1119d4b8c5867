"""A corpus to find near misses in: by words and by vectors, in memory."""

from collections.abc import Sequence

import numpy as np

from pipelines.core.encoders import Encoder
from services.training.evidence.lexical import Lexical
from services.training.texts import Text

RRF_K = 5
"""As the retrieve stage fuses."""


class Library:
    """Texts that are found as the retrieve stage finds passages: by reciprocal ranks of BM25 and of the encoder.

    Embeds all texts once.
    """

    def __init__(self, texts: Sequence[Text], encoder: Encoder) -> None:
        self._texts, self._encoder = texts, encoder
        self._lexical = Lexical(texts)
        self._vectors = encoder.embed([f"{text.context}\n{text.text}" for text in texts]).vectors
        self._place = {id(text): at for at, text in enumerate(texts)}

    def find(self, question: str, limit: int) -> list[tuple[Text, float]]:
        """At most `limit` texts, best first, with their fused scores."""
        cosine = self._vectors @ self._encoder.embed([question]).vectors[0]
        near = np.argpartition(-cosine, min(3 * limit, len(cosine) - 1))[: 3 * limit]
        dense = near[np.argsort(-cosine[near], kind="stable")]
        lexical = [self._place[id(text)] for text in self._lexical.find(question, 3 * limit)]
        scores: dict[int, float] = {}
        for ranking in (dense.tolist(), lexical):
            for rank, at in enumerate(ranking, 1):
                scores[at] = scores.get(at, 0.0) + 1 / (RRF_K + rank)
        best = sorted(scores, key=lambda at: (-scores[at], at))[:limit]
        return [(self._texts[at], scores[at]) for at in best]
