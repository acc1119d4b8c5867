"""BM25 term weights as sparse vectors, computed here and without a download in both modes.

Qdrant multiplies them with the inverse document frequency (modifier IDF) when it searches.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import qdrant_edge


@dataclass(frozen=True, slots=True)
class Sparse:
    """A sparse vector: hashed terms and their weights. Empty when a text has no terms after stop words."""

    indices: list[int]
    values: list[float]

    def __bool__(self) -> bool:
        """Whether there is any term."""
        return bool(self.indices)


class Bm25:
    """Turns texts into sparse vectors, English stop words and stemming included.

    Args:
        average_words: Terms of an average passage after stop words; longer passages count less per term.
    """

    def __init__(self, average_words: float) -> None:
        self._average_words = average_words

    def document(self, text: str) -> Sparse:
        """Term weights of an indexed text."""
        vector = self._model.embed_document(text)
        return Sparse(vector.indices, vector.values)

    def query(self, text: str) -> Sparse:
        """Weight 1 for each different term of a query; unpaired surrogates, which are no text, count as `?`."""
        vector = self._model.embed_query(text.encode(errors="replace").decode())
        return Sparse(vector.indices, vector.values)

    @cached_property
    def _model(self) -> "qdrant_edge.Bm25":
        import qdrant_edge  # loaded with the index, not with the module

        return qdrant_edge.Bm25(qdrant_edge.Bm25Config(avg_len=self._average_words))
