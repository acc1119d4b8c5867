"""What a blob store is, and how its keys look."""

import hashlib
import re
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Protocol, Self

from pipelines.core.errors import InvalidRequestError, NotFoundError

FILES, TEXTS = "sha256", "text"
KINDS = (FILES, TEXTS)
CHUNK = 1024 * 1024
_KEY = re.compile(r"(?:sha256/[0-9a-f]{64}|text/[A-Za-z0-9][A-Za-z0-9._-]{0,199})")


@dataclass(frozen=True, slots=True)
class Blob:
    """A stored file. `key` is `sha256/` and the hash."""

    key: str
    sha256: str
    size_bytes: int


class TextWriter(Protocol):
    """Writes one source text piece by piece; it is there once the `with` block ends without an error."""

    @property
    def key(self) -> str:
        """The key under which the text will be found."""

    def write(self, piece: str) -> None:
        """Appends.

        Raises:
            MalformedDocumentError: the piece holds a lone surrogate, which no text file can.
        """

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class BlobStore(Protocol):
    """Bytes by key. Safe to share between threads and processes; memory does not grow with the size of a blob.

    Every method may raise `BlobsUnavailableError`, and `ConfigurationError` where the store refuses its credentials.
    """

    def put(self, stream: BinaryIO | Iterable[bytes], *, max_bytes: int | None = None) -> Blob:
        """Stores a stream, durable on return. The same content again changes nothing.

        Raises:
            RequestTooLargeError: the stream is longer than `max_bytes`; nothing is stored.
        """

    def text_writer(self, name: str) -> TextWriter:
        """Starts a source text under `text/NAME`; it replaces the one of that name when it is complete."""

    def local(self, key: str) -> AbstractContextManager[Path]:
        """A file on this machine's disk with a blob's bytes, for as long as the block lasts; not to be written to.

        Raises:
            NotFoundError: there is no such blob.
        """

    def exists(self, key: str) -> bool:
        """Whether the blob is there."""

    def delete(self, key: str, *, unused_for_s: float = 0.0) -> bool:
        """Removes a blob unless it was put within the last `unused_for_s` seconds; returns whether it did.

        A caller puts a file before the ledger knows of it: leave it that time.
        """

    def keys(self, *, unused_for_s: float = 0.0, shard: int | None = None) -> Iterator[str]:
        """All keys, or those not put for a while: candidates for `Ledger.unreferenced`.

        Args:
            shard: Only one of the 256 parts, from 0; each has about as many.
        """

    def remove_partial(self, *, unused_for_s: float = 3600.0) -> int:
        """Removes what killed writers left behind; returns how many files."""

    def read_span(self, key: str, start: int, end: int) -> str:
        """The code points `[start, end)` of a source text, cut at its end as slicing does. Raises `NotFoundError`."""

    def text_length(self, key: str) -> int:
        """Code points of a source text. Raises `NotFoundError`."""

    def read_text(self, key: str) -> Iterator[str]:
        """A source text from its beginning, in pieces. Raises `NotFoundError`."""


def place(key: str) -> tuple[str, str, str]:
    """Where a blob lies: its kind, one of 256 folders, its name.

    Raises:
        InvalidRequestError: this is no key.
    """
    if not _KEY.fullmatch(key):
        raise InvalidRequestError(f"{key!r} is not a key of a stored file.")
    kind, name = key.split("/")
    shard = name[:2] if kind == FILES else hashlib.sha256(name.encode()).hexdigest()[:2]
    return kind, shard, name


def missing(key: str) -> NotFoundError:
    """The error for a blob that is not there."""
    return NotFoundError(f"There is no stored file {key}.")


def chunks(stream: BinaryIO | Iterable[bytes]) -> Iterator[bytes]:
    """The bytes of a stream in pieces."""
    if hasattr(stream, "read"):
        while chunk := stream.read(CHUNK):
            yield chunk
    else:
        yield from stream
