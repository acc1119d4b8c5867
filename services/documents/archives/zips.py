"""Zip archives."""

import zipfile
from collections.abc import Iterator
from contextlib import closing
from typing import IO, BinaryIO

from services.documents.archives.base import CHUNK, DAMAGED, Budget, DamagedMemberError, Member, normal

DIRECTORY_BYTES = 512  # of a zip's directory, a member; most have a hundred
MIN_DIRECTORY_BYTES = 1024 * 1024

_ENCRYPTED = 0x1
_LINK = 0o120000
_PACKINGS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2}  # LZMA's memory cannot be bounded


def read_zip(stream: BinaryIO, budget: Budget) -> Iterator[Member]:
    """The files of a zip; encrypted and strangely packed ones are refused."""
    try:
        archive = zipfile.ZipFile(_BoundedReads(stream, budget))
        entries = archive.infolist()
    except DAMAGED as error:
        raise budget.damaged() from error
    budget.count(len(entries))
    for entry in entries:
        if entry.is_dir() or (entry.external_attr >> 16) & 0o170000 == _LINK:
            continue
        path = normal(entry.filename)
        if entry.flag_bits & _ENCRYPTED:
            yield Member(path, None, "encrypted")
        elif entry.compress_type not in _PACKINGS:
            yield Member(path, None, "packing")
        else:
            with closing(_ZipMember(archive, entry, budget)) as content:
                yield Member(path, content)


class _BoundedReads:
    """A zip's file: refuses to read a directory at once that no archive of so few members has."""

    def __init__(self, stream: BinaryIO, budget: Budget) -> None:
        self._stream, self._budget = stream, budget
        self.seek, self.tell, self.seekable = stream.seek, stream.tell, lambda: True

    def read(self, size: int = -1) -> bytes:
        if size > max(MIN_DIRECTORY_BYTES, DIRECTORY_BYTES * self._budget.max_members):
            self._budget.too_many()
        return self._stream.read(size)


class _ZipMember:
    def __init__(self, archive: zipfile.ZipFile, entry: zipfile.ZipInfo, budget: Budget) -> None:
        self._archive, self._entry, self._budget = archive, entry, budget
        self._file: IO[bytes] | None = None

    def read(self, size: int = -1) -> bytes:
        try:
            if self._file is None:
                self._file = self._archive.open(self._entry)
            data = self._file.read(CHUNK if size < 0 else size)
        except DAMAGED as error:
            raise DamagedMemberError(self._entry.filename) from error
        self._budget.spend(len(data))
        return data

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
