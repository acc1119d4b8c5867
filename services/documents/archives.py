"""Archives: read member by member, in bounded memory, trusting nothing that they say of themselves.

What an archive names is used as a name only; nothing is ever written under it.
"""

import bz2
import gzip
import hashlib
import io
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import IO, BinaryIO, Literal, NoReturn, Protocol

from pipelines.core.errors import EmptyDocumentError, MalformedDocumentError, RequestTooLargeError

MAX_RATIO = 100
"""Text packs to a third or a tenth; logs and tables of zeros to a fiftieth."""
FREE_BYTES = 64 * 1024 * 1024
"""Unpacked bytes that no ratio is asked of."""

MAX_NAME_CHARS = 1000
MAX_HEADER_BYTES = 64 * 1024
DIRECTORY_BYTES = 512  # of a zip's directory, a member; most have a hundred
MIN_DIRECTORY_BYTES = 1024 * 1024
XZ_MEMORY_BYTES = 128 * 1024 * 1024  # `xz -9` needs 65 MiB to unpack
CHUNK = 1024 * 1024

Refused = Literal["encrypted", "nested", "packing"]

_ENCRYPTED = 0x1
_LINK = 0o120000
_ZIP_PACKINGS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2}  # LZMA's memory cannot be bounded
_DAMAGED = (
    zipfile.BadZipFile,
    tarfile.TarError,
    lzma.LZMAError,
    zlib.error,
    EOFError,
    OSError,
    ValueError,
    NotImplementedError,
    RuntimeError,  # also RecursionError: thousands of headers that each announce another
)


class ArchiveTooLargeError(RequestTooLargeError):
    """An archive has more members, or unpacks to more, than it may."""


class DamagedMemberError(Exception):
    """A member cannot be read; the others can."""


class Readable(Protocol):
    """Bytes to read from their beginning to their end."""

    def read(self, size: int, /) -> bytes:
        """The next bytes, at most so many; none at the end."""


@dataclass(frozen=True, slots=True)
class Member:
    """A file of an archive.

    Attributes:
        path: Inside of the archive, normalised: no root, no `.` and no `..`.
        content: Its bytes, to be read before the next member is asked for; `None` where it is refused.
    """

    path: str
    content: Readable | None
    refused: Refused | None = None

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]


def is_archive(name: str) -> bool:
    """Whether a file of this name is taken for an archive. Office files are zips as well: the content is not asked."""
    return _kind(name) is not None


def members(stream: BinaryIO, name: str, *, max_members: int, max_bytes: int) -> Iterator[Member]:
    """The files of an archive, in its order. Left out are folders, links, devices, and names that are hidden.

    Args:
        stream: Seekable.
        max_members: Entries of any kind.
        max_bytes: Unpacked bytes, as counted.

    Raises:
        ArchiveTooLargeError: it has more of either, or unpacks to more than `MAX_RATIO` times its size. From here, or
            from reading a member.
        MalformedDocumentError: it is damaged, or cut short; likewise.
        EmptyDocumentError: there is no file in it.
    """
    budget = _Budget(name, stream.seek(0, io.SEEK_END), max_members, max_bytes)
    stream.seek(0)
    kind = _kind(name)
    assert kind is not None
    found = False
    for member in kind(stream, budget):
        if member.path and not _is_hidden(member.path):
            found = True
            yield Member(member.path, None, "nested") if is_archive(member.name) else member
    if not found:
        raise EmptyDocumentError(f"There is no file in the archive {name}.")


# --- Zip -----------------------------------------------------------------------------------------------------------


def _zip(stream: BinaryIO, budget: "_Budget") -> Iterator[Member]:
    try:
        archive = zipfile.ZipFile(_BoundedReads(stream, budget))
        entries = archive.infolist()
    except _DAMAGED as error:
        raise budget.damaged() from error
    budget.count(len(entries))
    for entry in entries:
        if entry.is_dir() or (entry.external_attr >> 16) & 0o170000 == _LINK:
            continue
        path = _normal(entry.filename)
        if entry.flag_bits & _ENCRYPTED:
            yield Member(path, None, "encrypted")
        elif entry.compress_type not in _ZIP_PACKINGS:
            yield Member(path, None, "packing")
        else:
            with closing(_ZipMember(archive, entry, budget)) as content:
                yield Member(path, content)


class _BoundedReads:
    """A zip's file: refuses to read a directory at once that no archive of so few members has."""

    def __init__(self, stream: BinaryIO, budget: "_Budget") -> None:
        self._stream, self._budget = stream, budget
        self.seek, self.tell, self.seekable = stream.seek, stream.tell, lambda: True

    def read(self, size: int = -1) -> bytes:
        if size > max(MIN_DIRECTORY_BYTES, DIRECTORY_BYTES * self._budget.max_members):
            self._budget.too_many()
        return self._stream.read(size)


class _ZipMember:
    def __init__(self, archive: zipfile.ZipFile, entry: zipfile.ZipInfo, budget: "_Budget") -> None:
        self._archive, self._entry, self._budget = archive, entry, budget
        self._file: IO[bytes] | None = None

    def read(self, size: int = -1) -> bytes:
        try:
            if self._file is None:
                self._file = self._archive.open(self._entry)
            data = self._file.read(CHUNK if size < 0 else size)
        except _DAMAGED as error:
            raise DamagedMemberError(self._entry.filename) from error
        self._budget.spend(len(data))
        return data

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


# --- Tar -----------------------------------------------------------------------------------------------------------


def _tar(unpack: Callable[[BinaryIO], Readable]) -> Callable[[BinaryIO, "_Budget"], Iterator[Member]]:
    def read(stream: BinaryIO, budget: "_Budget") -> Iterator[Member]:
        source = _TarStream(unpack(stream), budget)
        archive: tarfile.TarFile | None = None
        while True:
            try:
                if archive is None:
                    archive = tarfile.TarFile(fileobj=source, mode="r", errors="surrogateescape")  # type: ignore[arg-type]
                entry = archive.next()
                archive.members = []  # type: ignore[attr-defined]  # it would keep them all
                archive.pax_headers = {}
            except _DAMAGED as error:
                raise budget.damaged() from error
            if entry is None:
                break
            budget.count(1)
            if entry.issparse():
                yield Member(_normal(entry.name), None, "packing")
            elif entry.isreg():
                content = archive.extractfile(entry)
                assert content is not None
                source.limit = CHUNK
                yield Member(_normal(entry.name), _TarMember(content, budget))
                source.limit = MAX_HEADER_BYTES
        if source.ended:
            raise budget.damaged()  # an archive ends with a block of zeros
        try:
            source.drain()  # only at its end does a packed file tell its checksum
        except _DAMAGED as error:
            raise budget.damaged() from error

    return read


class _TarStream:
    """What `tarfile` reads from: forward only, and never much at once, whatever a header says of its length."""

    def __init__(self, stream: Readable, budget: "_Budget") -> None:
        self._stream, self._budget = stream, budget
        self._at = 0
        self.limit = MAX_HEADER_BYTES
        self.ended = False

    def read(self, size: int) -> bytes:
        if size > self.limit:
            raise tarfile.ReadError("too long a header")
        data = b""
        while len(data) < size and (more := self._stream.read(size - len(data))):
            data += more
        self.ended = len(data) < size
        self._at += len(data)
        self._budget.spend(len(data))
        return data

    def seek(self, position: int) -> None:
        while self._at < position and self.read(min(self.limit, position - self._at)):
            pass

    def tell(self) -> int:
        return self._at

    def drain(self) -> None:
        while self.read(self.limit):
            pass


class _TarMember:
    """A member's bytes. What is damaged in it damages all that follows."""

    def __init__(self, file: IO[bytes], budget: "_Budget") -> None:
        self._file, self._budget = file, budget

    def read(self, size: int = -1) -> bytes:
        try:
            return self._file.read(CHUNK if size < 0 else size)
        except _DAMAGED as error:
            raise self._budget.damaged() from error


class _Xz:
    """Unpacks xz with a bound on memory, which `lzma.LZMAFile` does not know."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._decoder: lzma.LZMADecompressor | None = None
        self._waiting = b""

    def read(self, size: int) -> bytes:
        while True:
            if self._decoder is None:
                self._waiting = self._waiting or self._stream.read(CHUNK)
                if not self._waiting:
                    return b""
                self._waiting = self._waiting.lstrip(b"\0")  # padding between two streams
                if not self._waiting:
                    continue
                self._decoder = lzma.LZMADecompressor(memlimit=XZ_MEMORY_BYTES)
            if self._decoder.needs_input and not self._waiting:
                self._waiting = self._stream.read(CHUNK)
                if not self._waiting:
                    raise EOFError
            data = self._decoder.decompress(self._waiting, size)
            self._waiting = b""
            if self._decoder.eof:
                self._waiting = self._decoder.unused_data
                self._decoder = None
            if data:
                return data


# --- Both ----------------------------------------------------------------------------------------------------------

_KINDS: dict[str, Callable[[BinaryIO, "_Budget"], Iterator[Member]]] = {
    ".zip": _zip,
    ".tar": _tar(lambda stream: stream),
    **dict.fromkeys((".tar.gz", ".tgz"), _tar(lambda stream: gzip.GzipFile(fileobj=stream))),
    **dict.fromkeys((".tar.bz2", ".tbz2"), _tar(bz2.BZ2File)),
    **dict.fromkeys((".tar.xz", ".txz"), _tar(_Xz)),
}


def _kind(name: str) -> Callable[[BinaryIO, "_Budget"], Iterator[Member]] | None:
    return next((kind for ending, kind in _KINDS.items() if name.lower().endswith(ending)), None)


class _Budget:
    """What an archive may still cost."""

    def __init__(self, name: str, size: int, max_members: int, max_bytes: int) -> None:
        self.max_members = max_members
        self._name, self._size, self._max_bytes = name, size, max_bytes
        self._members = self._bytes = 0

    def count(self, entries: int) -> None:
        self._members += entries
        if self._members > self.max_members:
            self.too_many()

    def spend(self, size: int) -> None:
        self._bytes += size
        if self._bytes > self._max_bytes:
            raise ArchiveTooLargeError(
                f"The archive {self._name} unpacks to more than {self._max_bytes:,} bytes (ingest.max_archive_bytes)."
            )
        if self._bytes > FREE_BYTES + MAX_RATIO * self._size:
            raise ArchiveTooLargeError(f"The archive {self._name} unpacks to more than {MAX_RATIO} times its size.")

    def too_many(self) -> NoReturn:
        raise ArchiveTooLargeError(
            f"The archive {self._name} has more than {self.max_members:,} members (ingest.max_archive_members)."
        )

    def damaged(self) -> MalformedDocumentError:
        return MalformedDocumentError(f"The archive {self._name} is damaged or was cut short.")


def _normal(name: str) -> str:
    """A member's name as a path below the archive, printable and of bounded length."""
    text = name.replace("\\", "/").encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    parts = [
        part for part in text.split("/") if part not in {"", ".", ".."} and not (len(part) == 2 and part[1] == ":")
    ]
    path = "".join(char if char.isprintable() else "\ufffd" for char in "/".join(parts))
    if len(path) <= MAX_NAME_CHARS:
        return path
    return f"{hashlib.sha256(path.encode()).hexdigest()[:16]}/{path[-MAX_NAME_CHARS // 2 :].lstrip('/')}"


def _is_hidden(path: str) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in path.split("/"))
