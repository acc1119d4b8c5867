"""Where bytes lie: submitted files, named by their content, and source texts, named by their document version.

A blob is there whole or not at all: it is written beside its place, flushed to disk, then renamed.
"""

import array
import contextlib
import fcntl
import hashlib
import os
import re
import struct
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Protocol, Self

from pipelines.core.errors import InvalidRequestError, MalformedDocumentError, NotFoundError, RequestTooLargeError

INDEX_EVERY = 64 * 1024
"""Code points between two entries of a text's offset index: a span read decodes at most this much for nothing."""

_CHUNK = 1024 * 1024
_KEY = re.compile(r"(?:sha256/[0-9a-f]{64}|text/[A-Za-z0-9][A-Za-z0-9._-]{0,199})")
_FOOTER = struct.Struct("<8sQQQ")  # magic, bytes of text, code points, entries of the index
_MAGIC = b"STRATXT1"


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
    """Bytes by key. Safe to share between threads and processes; memory does not grow with the size of a blob."""

    def put(self, stream: BinaryIO | Iterable[bytes], *, max_bytes: int | None = None) -> Blob:
        """Stores a stream, durable on return. The same content again changes nothing.

        Raises:
            RequestTooLargeError: the stream is longer than `max_bytes`; nothing is stored.
        """

    def text_writer(self, name: str) -> TextWriter:
        """Starts a source text under `text/NAME`; it replaces the one of that name when it is complete."""

    def open(self, key: str) -> BinaryIO:
        """Opens a file for reading. Raises `NotFoundError`."""

    def local_path(self, key: str) -> Path:
        """A path for libraries that want one; not to be written to. Raises `NotFoundError`."""

    def exists(self, key: str) -> bool:
        """Whether the blob is there."""

    def delete(self, key: str, *, unused_for_s: float = 0.0) -> bool:
        """Removes a blob unless it was put within the last `unused_for_s` seconds; returns whether it did.

        A caller puts a file before the ledger knows of it: leave it that time.
        """

    def keys(self, *, unused_for_s: float = 0.0) -> Iterator[str]:
        """All keys, or those not put for a while: candidates for `Ledger.unreferenced`."""

    def read_span(self, key: str, start: int, end: int) -> str:
        """The code points `[start, end)` of a source text, cut at its end as slicing does. Raises `NotFoundError`."""

    def text_length(self, key: str) -> int:
        """Code points of a source text. Raises `NotFoundError`."""

    def read_text(self, key: str) -> Iterator[str]:
        """A source text from its beginning, in pieces. Raises `NotFoundError`."""


class FolderBlobs:
    """Blobs in a folder. Source texts are plain UTF-8 with a short binary index behind them.

    Args:
        root: Made when missing.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._partial = root / "partial"
        self._partial.mkdir(parents=True, exist_ok=True)

    def put(self, stream: BinaryIO | Iterable[bytes], *, max_bytes: int | None = None) -> Blob:
        """See `BlobStore`."""
        digest, size = hashlib.sha256(), 0
        with self._partial_file() as file:
            for chunk in _chunks(stream):
                size += len(chunk)
                if max_bytes is not None and size > max_bytes:
                    raise RequestTooLargeError(f"The file is larger than the limit of {max_bytes} bytes.")
                digest.update(chunk)
                file.write(chunk)
            key = f"sha256/{digest.hexdigest()}"
            path = self._path(key)
            with self._lock():
                if path.exists():
                    os.utime(path)  # used again now: `delete` with `unused_for_s` leaves it
                else:
                    _settle(file, path)
        return Blob(key=key, sha256=digest.hexdigest(), size_bytes=size)

    def text_writer(self, name: str) -> "FolderTextWriter":
        """See `BlobStore`."""
        key = f"text/{name}"
        return FolderTextWriter(key, self._path(key), self._partial_file())

    def open(self, key: str) -> BinaryIO:
        """See `BlobStore`."""
        try:
            return self._path(key).open("rb")
        except FileNotFoundError:
            raise NotFoundError(f"There is no stored file {key}.") from None

    def local_path(self, key: str) -> Path:
        """See `BlobStore`."""
        path = self._path(key)
        if not path.exists():
            raise NotFoundError(f"There is no stored file {key}.")
        return path

    def exists(self, key: str) -> bool:
        """See `BlobStore`."""
        return self._path(key).exists()

    def delete(self, key: str, *, unused_for_s: float = 0.0) -> bool:
        """See `BlobStore`."""
        path = self._path(key)
        with self._lock(), contextlib.suppress(FileNotFoundError):
            if not unused_for_s or path.stat().st_mtime <= time.time() - unused_for_s:
                path.unlink()
                return True
        return False

    def keys(self, *, unused_for_s: float = 0.0) -> Iterator[str]:
        """See `BlobStore`."""
        for kind in ("sha256", "text"):
            for path in (self._root / kind).glob("*/*"):
                with contextlib.suppress(FileNotFoundError):  # deleted meanwhile
                    if not unused_for_s or path.stat().st_mtime <= time.time() - unused_for_s:
                        yield f"{kind}/{path.name}"

    def remove_partial(self, *, unused_for_s: float = 3600.0) -> int:
        """Removes what killed writers left behind; returns how many files. Running writers touch theirs."""
        removed = 0
        for path in self._partial.iterdir():
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_mtime <= time.time() - unused_for_s:
                    path.unlink()
                    removed += 1
        return removed

    def read_span(self, key: str, start: int, end: int) -> str:
        """See `BlobStore`."""
        if start < 0 or end < start:
            raise InvalidRequestError(f"[{start}, {end}) is not a span.")
        with self.open(key) as file:
            text = _TextIndex(file)
            end = min(end, text.length)
            if start >= end:
                return ""
            first, last = start // INDEX_EVERY, -(-end // INDEX_EVERY)
            begin, stop = text.offset(first), text.offset(last)
            file.seek(begin)
            decoded = file.read(stop - begin).decode("utf-8")
            return decoded[start - first * INDEX_EVERY : end - first * INDEX_EVERY]

    def text_length(self, key: str) -> int:
        """See `BlobStore`."""
        with self.open(key) as file:
            return _TextIndex(file).length

    def read_text(self, key: str) -> Iterator[str]:
        """See `BlobStore`."""
        length = self.text_length(key)
        return (self.read_span(key, start, start + INDEX_EVERY) for start in range(0, length, INDEX_EVERY))

    def _path(self, key: str) -> Path:
        if not _KEY.fullmatch(key):
            raise InvalidRequestError(f"{key!r} is not a key of a stored file.")
        kind, name = key.split("/")
        shard = name[:2] if kind == "sha256" else hashlib.sha256(name.encode()).hexdigest()[:2]
        return self._root / kind / shard / name

    @contextlib.contextmanager
    def _partial_file(self) -> Iterator[BinaryIO]:
        with tempfile.NamedTemporaryFile(dir=self._partial, delete=False) as file:
            try:
                yield file  # type: ignore[misc]  # typeshed: a wrapper with the same methods
            finally:
                Path(file.name).unlink(missing_ok=True)  # renamed by now, or to be forgotten

    @contextlib.contextmanager
    def _lock(self) -> Iterator[None]:
        """Keeps `delete` from removing a file that `put` has just found to be there."""
        with (self._root / "lock").open("wb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


class FolderTextWriter:
    """See `TextWriter`. Built by `FolderBlobs.text_writer`."""

    def __init__(self, key: str, path: Path, partial: contextlib.AbstractContextManager[BinaryIO]) -> None:
        self.key = key
        self._path = path
        self._partial = partial
        self._offsets = array.array("Q", [0])
        self._bytes = 0
        self._length = 0

    def __enter__(self) -> Self:
        """Starts the text."""
        self._file = self._partial.__enter__()
        return self

    def write(self, piece: str) -> None:
        """See `TextWriter`."""
        start = 0
        while start < len(piece):
            room = INDEX_EVERY - self._length % INDEX_EVERY
            part = piece[start : start + room]
            try:
                encoded = part.encode("utf-8")
            except UnicodeEncodeError as error:
                raise MalformedDocumentError(
                    "The text holds half of a surrogate pair, which is no character."
                ) from error
            self._file.write(encoded)
            self._bytes += len(encoded)
            self._length += len(part)
            if self._length % INDEX_EVERY == 0:
                self._offsets.append(self._bytes)
            start += room

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Puts the text in its place, or forgets it after an error."""
        try:
            if kind is None:
                self._file.write(_little_endian(self._offsets))
                self._file.write(_FOOTER.pack(_MAGIC, self._bytes, self._length, len(self._offsets)))
                _settle(self._file, self._path)
        finally:
            self._partial.__exit__(kind, error, trace)


class _TextIndex:
    """Reads the index behind a text: at which byte each `INDEX_EVERY`-th code point begins."""

    length: int
    _bytes: int
    _entries: int

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _FOOTER.size))
        try:
            magic, self._bytes, self.length, self._entries = _FOOTER.unpack(file.read())
        except struct.error:
            magic = b""
        if magic != _MAGIC:
            raise NotFoundError("The stored file is not a source text.")

    def offset(self, entry: int) -> int:
        if entry >= self._entries:
            return self._bytes
        self._file.seek(self._bytes + 8 * entry)
        (offset,) = struct.unpack("<Q", self._file.read(8))
        return int(offset)


def _chunks(stream: BinaryIO | Iterable[bytes]) -> Iterator[bytes]:
    if hasattr(stream, "read"):
        while chunk := stream.read(_CHUNK):
            yield chunk
    else:
        yield from stream


def _settle(file: BinaryIO, path: Path) -> None:
    """Makes a written file durable under its name."""
    file.flush()
    os.fsync(file.fileno())
    path.parent.mkdir(parents=True, exist_ok=True)
    Path(file.name).replace(path)
    for folder in (path.parent, path.parent.parent):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _little_endian(offsets: "array.array[int]") -> bytes:
    if sys.byteorder == "big":
        offsets = array.array("Q", offsets)
        offsets.byteswap()
    return offsets.tobytes()
