"""What flows through the document path: lazily, so that memory is bounded whatever is ingested."""

from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Self, TypeVar

from pipelines.core.access import Labels
from pipelines.core.errors import BlobsUnavailableError, MalformedDocumentError, StrataError
from pipelines.core.store import DocumentVersion, EmbeddedPassage
from pipelines.core.types import Passage, Scalar

T = TypeVar("T")


class Stream(Generic[T]):
    """A one-pass iterator that Haystack hands on without copying."""

    def __init__(self, items: Iterable[T]) -> None:
        self._items = iter(items)

    def __iter__(self) -> Iterator[T]:
        return self._items

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def close(self) -> None:
        """Has whoever makes the items end now, also where not all of them were taken."""
        if isinstance(self._items, Generator):
            self._items.close()


@dataclass(frozen=True, slots=True)
class Submission:
    """One version of one document to index.

    Attributes:
        version: See `indexing.identity.document_version`.
        blob_key: Where its bytes are; see `BlobStore`.
        name: File name as submitted; its ending tells the format.
        title: Title to use instead of the document's own.
        labels: Access labels, on every passage.
    """

    document_id: str
    tenant: str
    source: str
    version: str
    blob_key: str
    name: str
    title: str | None = None
    metadata: dict[str, Scalar | tuple[Scalar, ...]] = field(default_factory=dict)
    labels: Labels = ()

    @property
    def key(self) -> DocumentVersion:
        """The version as the index names it."""
        return DocumentVersion(self.document_id, self.version)


@dataclass(frozen=True, slots=True)
class Indexed:
    """A document that searches now find.

    Attributes:
        embedded: Passages that were embedded in this run; fewer than `passages` after a resumed one.
        text_key: Blob of the source text that the passages' offsets count in.
    """

    submission: Submission
    title: str
    text_key: str
    passages: int
    embedded: int


@dataclass(frozen=True, slots=True)
class Rejected:
    """A document that could not be indexed, and why. A version published before stays searchable."""

    submission: Submission
    error: StrataError


Outcome = Indexed | Rejected


@dataclass(frozen=True, slots=True)
class SplitPassage:
    """A passage on its way to be embedded."""

    submission: Submission
    passage: Passage


@dataclass(frozen=True, slots=True)
class SplitEnd:
    """All passages of a document went before this."""

    submission: Submission
    title: str
    text_key: str
    passages: int


SplitItem = SplitPassage | SplitEnd | Rejected


@dataclass(frozen=True, slots=True)
class EmbeddedBatch:
    """Passages to write, and the documents that are complete once they are."""

    passages: list[EmbeddedPassage]
    ends: list[SplitEnd | Rejected]
    embedded: dict[str, int]


def rejected(submission: Submission, error: Exception) -> Rejected:
    """Ends one document for whatever went wrong in reading it, so that the others go on.

    Raises:
        OSError: the disk failed, which is no fault of the document.
        BlobsUnavailableError: nor is this.
    """
    if isinstance(error, OSError | BlobsUnavailableError):
        raise error
    if isinstance(error, StrataError):
        return Rejected(submission, error)
    # The message may quote the document, so only its kind is told.
    return Rejected(submission, MalformedDocumentError(f"The file could not be read ({type(error).__name__})."))


Observer = Callable[[Outcome], None]
"""Hears of each document as it ends: the ledger, a progress bar. Must not raise."""

Wanted = Callable[[Sequence[Submission]], Collection[str]]
"""Asked right before documents are published or withdrawn: the ids of those that this process still holds. Of others,
which somebody else has taken over or nobody wants any more, nothing is changed and nothing is told."""
