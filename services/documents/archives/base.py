"""What reading an archive of any kind stands on: its members, what it may cost, and how it can be wrong."""

import hashlib
import lzma
import tarfile
import zipfile
import zlib
from dataclasses import dataclass
from typing import Literal, NoReturn, Protocol

from pipelines.core.errors import MalformedDocumentError, RequestTooLargeError

MAX_RATIO = 100
"""Text packs to a third or a tenth; logs and tables of zeros to a fiftieth."""
FREE_BYTES = 64 * 1024 * 1024
"""Unpacked bytes that no ratio is asked of."""

MAX_NAME_CHARS = 1000
CHUNK = 1024 * 1024

Refused = Literal["encrypted", "nested", "packing"]

DAMAGED = (
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
"""What the readers of packed files raise where these are damaged."""


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


class Budget:
    """What an archive may still cost."""

    def __init__(self, name: str, size: int, max_members: int, max_bytes: int) -> None:
        self.max_members = max_members
        self._name, self._size, self._max_bytes = name, size, max_bytes
        self._members = self._bytes = 0

    def count(self, entries: int) -> None:
        """Counts entries of any kind."""
        self._members += entries
        if self._members > self.max_members:
            self.too_many()

    def spend(self, size: int) -> None:
        """Counts unpacked bytes."""
        self._bytes += size
        if self._bytes > self._max_bytes:
            raise ArchiveTooLargeError(
                f"The archive {self._name} unpacks to more than {self._max_bytes:,} bytes (ingest.max_archive_bytes)."
            )
        if self._bytes > FREE_BYTES + MAX_RATIO * self._size:
            raise ArchiveTooLargeError(f"The archive {self._name} unpacks to more than {MAX_RATIO} times its size.")

    def too_many(self) -> NoReturn:
        """Refuses the archive for its number of members."""
        raise ArchiveTooLargeError(
            f"The archive {self._name} has more than {self.max_members:,} members (ingest.max_archive_members)."
        )

    def damaged(self) -> MalformedDocumentError:
        """The error for an archive that cannot be read on."""
        return MalformedDocumentError(f"The archive {self._name} is damaged or was cut short.")


def normal(name: str) -> str:
    """A member's name as a path below the archive, printable and of bounded length."""
    text = name.replace("\\", "/").encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    parts = [
        part for part in text.split("/") if part not in {"", ".", ".."} and not (len(part) == 2 and part[1] == ":")
    ]
    path = "".join(char if char.isprintable() else "\ufffd" for char in "/".join(parts))
    if len(path) <= MAX_NAME_CHARS:
        return path
    return f"{hashlib.sha256(path.encode()).hexdigest()[:16]}/{path[-MAX_NAME_CHARS // 2 :].lstrip('/')}"
