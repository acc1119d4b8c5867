"""Blobs in an object store: S3 and what speaks its protocol, or any other file system that fsspec knows.

Bytes are spooled to a local temporary file while they are hashed, then uploaded: an object is there whole or not at
all.
"""

import contextlib
import hashlib
import time
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any, BinaryIO, Self

from pipelines.core.blobs.base import FILES, KINDS, Blob, chunks, missing, place
from pipelines.core.blobs.text import StoredText, TextEncoder, check_span
from pipelines.core.errors import BlobsUnavailableError, RequestTooLargeError
from pipelines.core.remote import RemoteFiles, changed_at, remove_spooled, spool

REFRESH_S = 1800.0
"""An object that was put longer ago is put again, so that `delete` sees that it is in use. Shorter than any
`unused_for_s` that a caller of `delete` may rely on, by more than an accepted batch takes from `put` to the ledger."""

DELETING = "deleting"
POLL_S = 0.2
PUTS = 3


class ObjectBlobs:
    """See `BlobStore`.

    `put` and `delete(unused_for_s=…)` of the same content may meet, and a store has no locks. So `delete` says what it
    is about to do in an object beside, looks at the age after that, and removes; `put` looks, once its object is there,
    whether somebody is about to remove it, waits for them, and puts it again where it is gone. This holds as long as
    `delete` takes less than three times the bound on a call from its note to the end of the removal; should it be
    stopped in between for longer, an object that was put meanwhile may be lost. Ages are by the store's clock against
    this machine's: they must agree to within minutes.
    """

    def __init__(self, files: RemoteFiles, root: str, *, timeout_s: float) -> None:
        self._files, self._root = files, root.rstrip("/")
        self._deletion_s = 3 * timeout_s

    def put(self, stream: BinaryIO | Iterable[bytes], *, max_bytes: int | None = None) -> Blob:
        """See `BlobStore`."""
        digest, size = hashlib.sha256(), 0
        with spool() as (file, local):
            for chunk in chunks(stream):
                size += len(chunk)
                if max_bytes is not None and size > max_bytes:
                    raise RequestTooLargeError(f"The file is larger than the limit of {max_bytes} bytes.")
                digest.update(chunk)
                file.write(chunk)
            file.flush()
            key = f"{FILES}/{digest.hexdigest()}"
            self._store(key, local)
        return Blob(key=key, sha256=digest.hexdigest(), size_bytes=size)

    def text_writer(self, name: str) -> "ObjectTextWriter":
        """See `BlobStore`."""
        key = f"text/{name}"
        return ObjectTextWriter(key, self._path(key), self._files)

    @contextlib.contextmanager
    def local(self, key: str) -> Iterator[Path]:
        """See `BlobStore`; a copy, removed when the block ends."""
        with contextlib.ExitStack() as stack:
            try:
                path = stack.enter_context(self._files.local(self._path(key)))
            except FileNotFoundError:
                raise missing(key) from None
            yield path

    def exists(self, key: str) -> bool:
        """See `BlobStore`."""
        return self._info(key) is not None

    def delete(self, key: str, *, unused_for_s: float = 0.0) -> bool:
        """See `BlobStore`."""
        path = self._path(key)
        if not unused_for_s:
            return self._info(key) is not None and self._remove(path)
        if not self._is_unused(key, unused_for_s):
            return False
        with spool() as (_, empty):
            self._files.upload(empty, self._deletion(key))
        try:
            return self._is_unused(key, unused_for_s) and self._remove(path)
        finally:
            self._remove(self._deletion(key))

    def keys(self, *, unused_for_s: float = 0.0, shard: int | None = None) -> Iterator[str]:
        """See `BlobStore`. In memory is one of 256 folders at a time."""
        for kind in KINDS:
            folder = f"{self._root}/{kind}"
            shards = [str(each["name"]) for each in self._files.folder(folder)] if shard is None else [f"{shard:02x}"]
            for each in shards:
                for info in self._files.folder(f"{folder}/{PurePosixPath(each).name}"):
                    if not unused_for_s or _age_s(info) >= unused_for_s:
                        yield f"{kind}/{PurePosixPath(str(info['name'])).name}"

    def remove_partial(self, *, unused_for_s: float = 3600.0) -> int:
        """See `BlobStore`: temporary files of this machine. Uploads that were cut are the store's to expire."""
        return remove_spooled(unused_for_s=unused_for_s)

    def read_span(self, key: str, start: int, end: int) -> str:
        """See `BlobStore`."""
        check_span(start, end)
        return self._stored(key).span(start, end)

    def text_length(self, key: str) -> int:
        """See `BlobStore`."""
        return self._stored(key).length

    def read_text(self, key: str) -> Iterator[str]:
        """See `BlobStore`."""
        return self._stored(key).pieces()

    def _stored(self, key: str) -> StoredText:
        info = self._info(key)
        if info is None:
            raise missing(key)
        path = self._path(key)

        def read(start: int, stop: int) -> bytes:
            try:
                return self._files.read(path, start, stop)
            except FileNotFoundError:
                raise missing(key) from None

        return StoredText(int(info["size"]), read)

    # --- Putting and deleting the same content at once -------------------------------------------------------------

    def _store(self, key: str, local: Path) -> None:
        for _ in range(PUTS):
            if self._is_safe(key):
                return
            self._files.upload(local, self._path(key))
            self._wait_for_deletion(key)
        if not self._is_safe(key):
            raise BlobsUnavailableError("The object store loses what it was given, or its clock is far from ours.")

    def _is_safe(self, key: str) -> bool:
        """Whether the object is there and was put so lately that nobody removes it for being unused."""
        info = self._info(key)
        return info is not None and _age_s(info) < REFRESH_S

    def _wait_for_deletion(self, key: str) -> None:
        while (note := self._look(self._deletion(key))) and _age_s(note) < self._deletion_s:
            time.sleep(POLL_S)

    def _is_unused(self, key: str, unused_for_s: float) -> bool:
        info = self._info(key)
        return info is not None and _age_s(info) >= unused_for_s

    def _remove(self, path: str) -> bool:
        try:
            self._files.remove(path)
        except FileNotFoundError:
            return False
        return True

    def _info(self, key: str) -> Mapping[str, Any] | None:
        return self._look(self._path(key))

    def _look(self, path: str) -> Mapping[str, Any] | None:
        try:
            info = self._files.info(path)
        except FileNotFoundError:
            return None
        return info if info.get("type") != "directory" else None

    def _path(self, key: str) -> str:
        return "/".join((self._root, *place(key)))

    def _deletion(self, key: str) -> str:
        return "/".join((self._root, DELETING, *place(key)))


class ObjectTextWriter:
    """See `TextWriter`. Built by `ObjectBlobs.text_writer`."""

    def __init__(self, key: str, path: str, files: RemoteFiles) -> None:
        self.key = key
        self._path, self._files = path, files

    def __enter__(self) -> Self:
        """Starts the text."""
        self._stack = contextlib.ExitStack()
        self._file, self._local = self._stack.enter_context(spool())
        self._encoder = TextEncoder(self._file)
        return self

    def write(self, piece: str) -> None:
        """See `TextWriter`."""
        self._encoder.write(piece)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Uploads the text, or forgets it after an error."""
        with self._stack:
            if kind is None:
                self._encoder.finish()
                self._file.flush()
                self._files.upload(self._local, self._path)


def _age_s(info: Mapping[str, Any]) -> float:
    return (datetime.now(UTC) - changed_at(info)).total_seconds()
