"""Tar archives, packed or not."""

import tarfile
from collections.abc import Callable, Iterator
from typing import IO, BinaryIO

from services.documents.archives.base import CHUNK, DAMAGED, Budget, Member, Readable, normal

MAX_HEADER_BYTES = 64 * 1024


def tar_reader(unpack: Callable[[BinaryIO], Readable]) -> Callable[[BinaryIO, Budget], Iterator[Member]]:
    """A reader of tar archives, given what unpacks them; sparse files are refused."""

    def read(stream: BinaryIO, budget: Budget) -> Iterator[Member]:
        source = _TarStream(unpack(stream), budget)
        archive: tarfile.TarFile | None = None
        while True:
            try:
                if archive is None:
                    archive = tarfile.TarFile(fileobj=source, mode="r", errors="surrogateescape")  # type: ignore[arg-type]
                entry = archive.next()
                archive.members = []  # type: ignore[attr-defined]  # it would keep them all
                archive.pax_headers = {}
            except DAMAGED as error:
                raise budget.damaged() from error
            if entry is None:
                break
            budget.count(1)
            if entry.issparse():
                yield Member(normal(entry.name), None, "packing")
            elif entry.isreg():
                content = archive.extractfile(entry)
                assert content is not None
                source.limit = CHUNK
                yield Member(normal(entry.name), _TarMember(content, budget))
                source.limit = MAX_HEADER_BYTES
        if source.ended:
            raise budget.damaged()  # an archive ends with a block of zeros
        try:
            source.drain()  # only at its end does a packed file tell its checksum
        except DAMAGED as error:
            raise budget.damaged() from error

    return read


class _TarStream:
    """What `tarfile` reads from: forward only, and never much at once, whatever a header says of its length."""

    def __init__(self, stream: Readable, budget: Budget) -> None:
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

    def __init__(self, file: IO[bytes], budget: Budget) -> None:
        self._file, self._budget = file, budget

    def read(self, size: int = -1) -> bytes:
        try:
            return self._file.read(CHUNK if size < 0 else size)
        except DAMAGED as error:
            raise self._budget.damaged() from error
