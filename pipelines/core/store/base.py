"""What the rest of Strata knows of the index: this protocol and its values. Nothing here imports Qdrant."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from pipelines.core.settings import RetrieveSettings
from pipelines.core.types import Filter, Hit, Passage

Vector = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Schema:
    """What a collection was built with. Two collections are compatible when their schemas are equal.

    Attributes:
        encoder: Fingerprint of the encoder (`pipelines.core.encoders.Encoder.fingerprint`).
        dim: Length of a dense vector.
        layout: Version of the payload's shape; raised when it changes.
    """

    encoder: str
    dim: int
    layout: int = 2


@dataclass(frozen=True, slots=True)
class RankedQuery:
    """One query, ready for the index: its text (for BM25), its vector (`(dim,) float32`, L2-normalised), its weight.

    Without a vector it is searched by its words alone.
    """

    text: str
    vector: Vector | None
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Fusion:
    """How rankings become one. Weights scale a ranking's votes; 0 leaves it out.

    Source: Cormack et al., "Reciprocal Rank Fusion outperforms Condorcet" (SIGIR 2009), section 2.
    """

    rrf_k: int = 60
    dense: float = 1.0
    bm25: float = 0.5
    section: float = 0.25
    sections: int = 5
    candidates: int = 100

    @classmethod
    def of(cls, settings: RetrieveSettings) -> Self:
        """As the settings weigh it."""
        return cls(
            rrf_k=settings.rrf_k,
            dense=settings.dense_weight,
            bm25=settings.bm25_weight,
            section=settings.section_weight,
            sections=settings.sections,
            candidates=settings.candidates,
        )


@dataclass(frozen=True, slots=True)
class EmbeddedPassage:
    """A passage with its dense vector (`(dim,) float32`, L2-normalised). BM25 vectors are the store's own affair."""

    passage: Passage
    vector: Vector
    tenant: str


@dataclass(frozen=True, slots=True)
class DocumentVersion:
    """Names one version of one document in the index."""

    document_id: str
    version: str


@dataclass(frozen=True, slots=True)
class StoreInfo:
    """Figures for `doctor` and `/readyz`: published passages, and sections beside them."""

    mode: str
    collection: str
    passages: int
    sections: int
    schema: Schema
    detail: dict[str, str] = field(default_factory=dict)


class Store(Protocol):
    """The index of one collection. Safe to share between threads.

    A document is replaced in two steps, so that a reader sees the old version or the new one, never a mix and never
    neither: `write` stages passages of a version that no search shows, `publish` shows them and removes every other
    version of that document. A crash between the two loses nothing: `written` tells what is staged already.
    """

    @property
    def build(self) -> str:
        """Identity of the collection in use; another after a swap. Never used twice."""

    def open(self, *, any_schema: bool = False) -> Self:
        """Opens the collection, creating it when missing. Idempotent.

        Args:
            any_schema: Takes the schema of a collection that is there, whatever it is; for a reindex.

        Raises:
            IndexMismatchError: it was built with another schema; the detail names both and says how to reindex.
            ConflictError: another process holds the embedded index.
            IndexUnavailableError: the server cannot be reached.
        """

    def close(self) -> None:
        """Flushes and releases the index. Idempotent."""

    def search(
        self, queries: Sequence[RankedQuery], *, limit: int, fusion: Fusion, filter: Filter | None = None
    ) -> list[Hit]:
        """Finds passages by weighted reciprocal rank fusion of a dense and a BM25 ranking per query.

        With `fusion.section > 0` it also ranks sections, descends into the best `fusion.sections` of them, and lets
        the passages found there vote once more. The filter is applied inside the index in every ranking.

        Returns:
            At most `limit` hits, best first, equal scores in the order of passage ids.
        """

    def write(self, passages: Sequence[EmbeddedPassage]) -> None:
        """Stages passages; durable on return. Writing the same passage again changes nothing."""

    def written(self, version: DocumentVersion) -> frozenset[str]:
        """Ids of the passages of this version that are in the index already, staged or published."""

    def publish(self, version: DocumentVersion, passages: int | None = None) -> int:
        """Shows a staged version and removes every older version of the document, at once for readers.

        Also builds the section points of the version (their vector: the normalised mean of their passages'). A version
        that somebody else published after this call began stays, and is what searches find.

        Args:
            passages: How many the version has.

        Returns:
            The number of passages now published for the document. Idempotent.

        Raises:
            NotFoundError: nothing of this version was written, or less than `passages`; what is published stays.
        """

    def discard(self, version: DocumentVersion) -> None:
        """Removes what is staged of a version and was never published."""

    def published(self, document_id: str) -> tuple[str, int] | None:
        """The published version of a document and its number of passages, or `None`."""

    def delete(self, document_id: str, *, tenant: str | None = None) -> int:
        """Removes a document in any state, staged passages too. A version that is published meanwhile stays.

        Returns:
            The number of passages that were removed; 0 when there were none.
        """

    def passages(self, document_id: str, *, tenant: str | None = None) -> Iterator[Passage]:
        """The published passages of a document, in document order, read page by page.

        Raises:
            ConflictError: the document was replaced or deleted while it was read.
        """

    def info(self) -> StoreInfo:
        """Current figures."""

    def compact(self) -> None:
        """Rebuilds search structures for speed. Slow; an operator's command, never called on a request."""

    def shadow(self, schema: Schema, *, resume: str | None = None) -> "Store":
        """A collection beside this one, for a reindex. Searches of this one are not affected.

        Drops what earlier reindexes left. The shadow itself stays when it is never swapped in, to be taken up again.

        Args:
            resume: `build` of a shadow to take up again; where it is not there or has another schema, a new and empty
                one is made.
        """

    def swap(self, shadow: "Store") -> None:
        """Makes the shadow the live collection at once. On error the live one is untouched.

        The old one is dropped, except where other processes still need it: see `drop_leftovers`.
        """

    def refresh(self) -> None:
        """Goes over to the live collection, where another process swapped in a new one.

        Raises:
            IndexMismatchError: it was built with another schema.
        """

    def drop_leftovers(self) -> int:
        """Drops collections that were replaced, and those of reindexes that did not finish; returns how many."""
