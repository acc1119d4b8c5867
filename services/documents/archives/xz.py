"""Unpacking xz in bounded memory."""

import lzma
from typing import BinaryIO

from services.documents.archives.base import CHUNK

MEMORY_BYTES = 128 * 1024 * 1024  # `xz -9` needs 65 MiB to unpack


class Xz:
    """Unpacks xz with a bound on memory, which `lzma.LZMAFile` does not know."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._decoder: lzma.LZMADecompressor | None = None
        self._waiting = b""

    def read(self, size: int) -> bytes:
        """The next bytes, at most so many; none at the end."""
        while True:
            if self._decoder is None:
                self._waiting = self._waiting or self._stream.read(CHUNK)
                if not self._waiting:
                    return b""
                self._waiting = self._waiting.lstrip(b"\0")  # padding between two streams
                if not self._waiting:
                    continue
                self._decoder = lzma.LZMADecompressor(memlimit=MEMORY_BYTES)
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
