"""How a source text is stored: plain UTF-8, and behind it at which byte each `INDEX_EVERY`-th code point begins."""

import array
import struct
import sys
from collections.abc import Callable, Iterator
from typing import BinaryIO

from pipelines.core.errors import InvalidRequestError, MalformedDocumentError, NotFoundError

INDEX_EVERY = 64 * 1024
"""Code points between two entries of the index: a span read decodes at most this much for nothing."""

TAIL_BYTES = 4096
"""Read at once from the end: the footer, and the index of a text of up to 33 million code points."""

_FOOTER = struct.Struct("<8sQQQ")  # magic, bytes of text, code points, entries of the index
_MAGIC = b"STRATXT1"

ReadRange = Callable[[int, int], bytes]
"""The bytes `[start, stop)` of a stored text."""


class TextEncoder:
    """Writes a text into a file, and the index behind it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._offsets = array.array("Q", [0])
        self._bytes = 0
        self._length = 0

    def write(self, piece: str) -> None:
        """Appends.

        Raises:
            MalformedDocumentError: the piece holds a lone surrogate, which no text file can.
        """
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

    def finish(self) -> None:
        """Writes the index."""
        self._file.write(_little_endian(self._offsets))
        self._file.write(_FOOTER.pack(_MAGIC, self._bytes, self._length, len(self._offsets)))


class StoredText:
    """A stored text, read range by range.

    Args:
        size: Of the stored file, in bytes.

    Raises:
        NotFoundError: the file is no source text.
    """

    def __init__(self, size: int, read: ReadRange) -> None:
        self._read = read
        self._tail_from = max(0, size - TAIL_BYTES)
        self._tail = read(self._tail_from, size) if size else b""
        try:
            magic, *counts = _FOOTER.unpack(self._tail[-_FOOTER.size :])
        except struct.error:
            magic, counts = b"", [0, 0, 0]
        self._bytes, self.length, self._entries = map(int, counts)
        if magic != _MAGIC:
            raise NotFoundError("The stored file is not a source text.")

    def span(self, start: int, end: int) -> str:
        """The code points `[start, end)`, cut at the end."""
        check_span(start, end)
        end = min(end, self.length)
        if start >= end:
            return ""
        first, last = start // INDEX_EVERY, -(-end // INDEX_EVERY)
        decoded = self._at(self._offset(first), self._offset(last)).decode("utf-8")
        return decoded[start - first * INDEX_EVERY : end - first * INDEX_EVERY]

    def pieces(self) -> Iterator[str]:
        """The whole text, `INDEX_EVERY` code points at a time."""
        return (self.span(start, start + INDEX_EVERY) for start in range(0, self.length, INDEX_EVERY))

    def _offset(self, entry: int) -> int:
        if entry >= self._entries:
            return self._bytes
        at = self._bytes + 8 * entry
        (offset,) = struct.unpack("<Q", self._at(at, at + 8))
        return int(offset)

    def _at(self, start: int, stop: int) -> bytes:
        if start >= self._tail_from:
            return self._tail[start - self._tail_from : stop - self._tail_from]
        return self._read(start, stop)


def check_span(start: int, end: int) -> None:
    """Refuses what is no span.

    Raises:
        InvalidRequestError: it begins before the text, or ends before it begins.
    """
    if start < 0 or end < start:
        raise InvalidRequestError(f"[{start}, {end}) is not a span.")


def _little_endian(offsets: "array.array[int]") -> bytes:
    if sys.byteorder == "big":
        offsets = array.array("Q", offsets)
        offsets.byteswap()
    return offsets.tobytes()
