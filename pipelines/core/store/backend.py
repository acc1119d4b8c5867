"""The few operations that both of Qdrant's forms must offer; everything else is written once, in `hybrid`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from pipelines.core.store.bm25 import Sparse
from pipelines.core.store.filters import Where

VectorName = Literal["dense", "bm25", "headings"]
DENSE: VectorName = "dense"
BM25: VectorName = "bm25"
HEADINGS: VectorName = "headings"
"""BM25 of sections. Apart from that of passages, so that headings do not count in the passages' term statistics."""

HNSW_M = 16
HNSW_EF_CONSTRUCT = 100
FULL_SCAN_KIB = 20_000
"""Vectors up to this size are scanned exactly: 13,000 of 384 dimensions, well under a millisecond on one core."""

PAGE = 256


@dataclass(frozen=True, slots=True)
class Point:
    """A point to insert: a dense vector, and a sparse one under the name of its level."""

    id: str
    dense: list[float]
    terms: VectorName
    sparse: Sparse
    payload: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Lookup:
    """One ranking to read: the nearest to a vector, or with none the points that match, in no order."""

    where: Where
    limit: int
    using: VectorName = DENSE
    vector: list[float] | Sparse | None = None
    fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """A point that was found, with the payload fields and the dense vector where they were asked for."""

    id: str
    score: float
    payload: dict[str, Any]
    dense: list[float] | None = None


@dataclass(frozen=True, slots=True)
class SetPayload:
    """Sets payload fields of all matching points."""

    where: Where
    fields: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Delete:
    """Deletes all matching points."""

    where: Where


Change = SetPayload | Delete


class Backend(Protocol):
    """An open collection. Every call may raise `IndexUnavailableError`."""

    def lookup(self, lookups: Sequence[Lookup]) -> list[list[Found]]:
        """Answers all in one round trip, in order, each best first."""

    def insert(self, points: Sequence[Point]) -> None:
        """Adds points; those whose id is there already stay as they are. Durable on return."""

    def apply(self, changes: Sequence[Change]) -> None:
        """Makes the changes in order. Durable on return."""

    def scroll(self, where: Where, fields: tuple[str, ...] = (), *, dense: bool = False) -> Iterator[Found]:
        """All matching points in the order of ids, read page by page."""

    def count(self, where: Where) -> int:
        """The exact number of matching points."""

    def compact(self) -> None:
        """Builds search structures."""

    def close(self) -> None:
        """Releases the collection."""
