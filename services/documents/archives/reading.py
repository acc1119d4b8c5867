"""Which files are archives, and what is in them, whatever their kind."""

import bz2
import gzip
import io
from collections.abc import Callable, Iterator
from typing import BinaryIO

from pipelines.core.errors import EmptyDocumentError
from services.documents.archives.base import Budget, Member
from services.documents.archives.tars import tar_reader
from services.documents.archives.xz import Xz
from services.documents.archives.zips import read_zip

_KINDS: dict[str, Callable[[BinaryIO, Budget], Iterator[Member]]] = {
    ".zip": read_zip,
    ".tar": tar_reader(lambda stream: stream),
    **dict.fromkeys((".tar.gz", ".tgz"), tar_reader(lambda stream: gzip.GzipFile(fileobj=stream))),
    **dict.fromkeys((".tar.bz2", ".tbz2"), tar_reader(bz2.BZ2File)),
    **dict.fromkeys((".tar.xz", ".txz"), tar_reader(Xz)),
}


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
    budget = Budget(name, stream.seek(0, io.SEEK_END), max_members, max_bytes)
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


def _kind(name: str) -> Callable[[BinaryIO, Budget], Iterator[Member]] | None:
    return next((kind for ending, kind in _KINDS.items() if name.lower().endswith(ending)), None)


def _is_hidden(path: str) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in path.split("/"))
