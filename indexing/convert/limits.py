"""Guards that look at a file before a parser does: its size, what it unpacks to, what its XML declares."""

import io
import zipfile
import zlib
from pathlib import Path
from typing import IO, NoReturn
from xml.parsers import expat

from pipelines.core.errors import (
    DocumentTooLargeError,
    EmptyDocumentError,
    EncryptedDocumentError,
    MalformedDocumentError,
)

MAX_MEMBERS = 100_000
MAX_DIRECTORY_BYTES = 16 * 1024 * 1024
"""Of a zip's directory, which `zipfile` reads and unpacks as a whole: 160 bytes for each member."""
MAX_PROLOGUE_BYTES = 1024 * 1024
_CHUNK_BYTES = 64 * 1024
_XML_SUFFIXES = (".xml", ".rels", ".vml")
_ENCRYPTED_FLAG = 0x1


def readable_size(size: int) -> str:
    """Bytes as people write them: `512 MB`."""
    value = float(size)
    for unit in ("bytes", "KB", "MB", "GB"):
        if value < 1024 or unit == "GB":
            break
        value /= 1024
    return f"{value:.0f} {unit}" if value >= 10 or unit == "bytes" else f"{value:.1f} {unit}"


def check_size(path: Path, max_bytes: int) -> None:
    """Look at the file's size without reading it.

    Raises:
        EmptyDocumentError: it has no bytes.
        DocumentTooLargeError: it has more than `max_bytes`.
        MalformedDocumentError: it cannot be opened.
    """
    try:
        size = path.stat().st_size
    except OSError as error:
        raise MalformedDocumentError(f"The file cannot be opened: {error.strerror}.") from error
    if size == 0:
        raise EmptyDocumentError("The file is empty.")
    if size > max_bytes:
        raise DocumentTooLargeError(
            f"The file is {readable_size(size)}; at most {readable_size(max_bytes)} is accepted "
            "(convert.max_file_bytes)."
        )


class DirectoryFile(io.FileIO):
    """A zip to be looked into: its directory is refused unread where it is larger than that of any document."""

    def read(self, size: int | None = -1, /) -> bytes:
        """Reads.

        Raises:
            DocumentTooLargeError: so much at once can only be the directory.
        """
        if size is not None and size > MAX_DIRECTORY_BYTES:
            raise DocumentTooLargeError(f"The file lists more than {MAX_MEMBERS} parts.")
        return super().read(size)


def check_archive(path: Path, max_unpacked_bytes: int) -> None:
    """Make sure that a zipped format can be unpacked safely. Reads the directory and the XML prologues only.

    `zipfile` never unpacks more of a member than the directory declares, so the declared sizes bound the true ones.

    Raises:
        DocumentTooLargeError: it would unpack to more than `max_unpacked_bytes`.
        EncryptedDocumentError: a member needs a password.
        MalformedDocumentError: the archive is damaged or its XML declares entities.
    """
    try:
        with DirectoryFile(path) as file, zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            unpacked = sum(member.file_size for member in members)
            if unpacked > max_unpacked_bytes or len(members) > MAX_MEMBERS:
                raise DocumentTooLargeError(
                    f"The file unpacks to more than {readable_size(max_unpacked_bytes)} or {MAX_MEMBERS} parts "
                    "(convert.max_unpacked_bytes)."
                )
            if any(member.flag_bits & _ENCRYPTED_FLAG for member in members):
                raise EncryptedDocumentError("The file is protected by a password.")
            for member in members:
                if member.filename.lower().endswith(_XML_SUFFIXES):
                    with archive.open(member) as stream:
                        check_prologue(stream)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, OSError, ValueError) as error:
        raise MalformedDocumentError("The file is damaged or was cut short: its parts cannot be unpacked.") from error


class _RootReached(Exception):  # noqa: N818  # a signal, not an error
    """The prologue is over."""


def check_prologue(stream: IO[bytes]) -> None:
    """Read an XML part up to its first element.

    Raises:
        MalformedDocumentError: it declares entities or goes on for `MAX_PROLOGUE_BYTES`, which office formats never do
            and attackers do: the parser's time grows with the square of a comment's length.
    """

    def refuse(*_: object) -> NoReturn:
        raise MalformedDocumentError("The file is refused: its XML declares entities, a known attack on readers.")

    def stop(*_: object) -> NoReturn:
        raise _RootReached

    parser = expat.ParserCreate()
    parser.EntityDeclHandler = refuse
    parser.StartElementHandler = stop
    try:
        for _ in range(0, MAX_PROLOGUE_BYTES, _CHUNK_BYTES):
            chunk = stream.read(_CHUNK_BYTES)
            parser.Parse(chunk, not chunk)
            if not chunk:
                return
    except (_RootReached, expat.ExpatError):
        return  # whether the rest is well-formed is the format's parser's to say
    raise MalformedDocumentError("The file is refused: its XML begins with a megabyte of nothing, as attacks do.")
