"""Blobs in a folder of this machine.

A blob is there whole or not at all: it is written beside its place, flushed to disk, then renamed.
"""

import contextlib
import fcntl
import hashlib
import os
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from pipelines.core.blobs.base import FILES, KINDS, Blob, chunks, missing, place
from pipelines.core.blobs.text import StoredText, TextEncoder
from pipelines.core.errors import RequestTooLargeError


class FolderBlobs:
    """See `BlobStore`.

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
            for chunk in chunks(stream):
                size += len(chunk)
                if max_bytes is not None and size > max_bytes:
                    raise RequestTooLargeError(f"The file is larger than the limit of {max_bytes} bytes.")
                digest.update(chunk)
                file.write(chunk)
            key = f"{FILES}/{digest.hexdigest()}"
            path = self._path(key)
            _flush(file)
            with self._lock():  # all processes wait for it, so not for the disk
                if path.exists():
                    os.utime(path)  # used again now: `delete` with `unused_for_s` leaves it
                else:
                    _rename(file, path)
            _flush_folders(path)  # where the file was there: whoever put it may not have come to this yet
        return Blob(key=key, sha256=digest.hexdigest(), size_bytes=size)

    def text_writer(self, name: str) -> "FolderTextWriter":
        """See `BlobStore`."""
        key = f"text/{name}"
        return FolderTextWriter(key, self._path(key), self._partial_file())

    @contextlib.contextmanager
    def local(self, key: str) -> Iterator[Path]:
        """See `BlobStore`; it is the blob itself."""
        path = self._path(key)
        if not path.exists():
            raise missing(key)
        yield path

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

    def keys(self, *, unused_for_s: float = 0.0, shard: int | None = None) -> Iterator[str]:
        """See `BlobStore`."""
        for kind in KINDS:
            for path in (self._root / kind).glob("*/*" if shard is None else f"{shard:02x}/*"):
                with contextlib.suppress(FileNotFoundError):  # deleted meanwhile
                    if not unused_for_s or path.stat().st_mtime <= time.time() - unused_for_s:
                        yield f"{kind}/{path.name}"

    def remove_partial(self, *, unused_for_s: float = 3600.0) -> int:
        """See `BlobStore`. Running writers touch their files."""
        removed = 0
        for path in self._partial.iterdir():
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_mtime <= time.time() - unused_for_s:
                    path.unlink()
                    removed += 1
        return removed

    def read_span(self, key: str, start: int, end: int) -> str:
        """See `BlobStore`."""
        with self._stored(key) as text:
            return text.span(start, end)

    def text_length(self, key: str) -> int:
        """See `BlobStore`."""
        with self._stored(key) as text:
            return text.length

    def read_text(self, key: str) -> Iterator[str]:
        """See `BlobStore`."""
        self.text_length(key)  # a text that is missing is told now, not at the first piece
        return self._pieces(key)

    def _pieces(self, key: str) -> Iterator[str]:
        with self._stored(key) as text:
            yield from text.pieces()

    @contextlib.contextmanager
    def _stored(self, key: str) -> Iterator[StoredText]:
        try:
            file = self._path(key).open("rb")
        except FileNotFoundError:
            raise missing(key) from None
        with file:

            def read(start: int, stop: int) -> bytes:
                file.seek(start)
                return file.read(stop - start)

            yield StoredText(file.seek(0, os.SEEK_END), read)

    def _path(self, key: str) -> Path:
        kind, shard, name = place(key)
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

    def __enter__(self) -> Self:
        """Starts the text."""
        self._file = self._partial.__enter__()
        self._encoder = TextEncoder(self._file)
        return self

    def write(self, piece: str) -> None:
        """See `TextWriter`."""
        self._encoder.write(piece)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Puts the text in its place, or forgets it after an error."""
        try:
            if kind is None:
                self._encoder.finish()
                _settle(self._file, self._path)
        finally:
            self._partial.__exit__(kind, error, trace)


def _settle(file: BinaryIO, path: Path) -> None:
    """Makes a written file durable under its name."""
    _flush(file)
    _rename(file, path)
    _flush_folders(path)


def _flush(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _rename(file: BinaryIO, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Path(file.name).replace(path)


def _flush_folders(path: Path) -> None:
    for folder in (path.parent, path.parent.parent):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
