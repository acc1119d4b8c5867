"""Files to the common form: the one entry to this package."""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import PurePath

from indexing.convert.base import PAGE_BREAK, ConvertedDocument, SourceFile
from indexing.convert.cleaning import first_heading, one_line
from indexing.convert.isolation import WorkerPool
from indexing.convert.limits import check_archive, check_size
from indexing.convert.registry import ISOLATED, ZIPPED, converter_of
from indexing.convert.sniff import Format, detect
from pipelines.core.errors import EmptyDocumentError
from pipelines.core.settings import ConvertSettings

MAX_TITLE_CHARS = 300


class FileConverter:
    """Converts files of every supported format, each in bounded memory and time. Usable from several threads.

    Formats with heavy parsers are read in a process of their own, which a bad file cannot take this one down with.
    """

    def __init__(self, settings: ConvertSettings) -> None:
        self._settings = settings
        self._pool = WorkerPool(settings)

    def warm_up(self) -> None:
        """Start a converter process. Optional: the first file that needs one starts it."""
        self._pool.warm_up()

    def close(self) -> None:
        """End the converter processes; documents whose parts were not read yet are lost."""
        self._pool.close()

    def __enter__(self) -> "FileConverter":
        """The converter itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def convert(self, source: SourceFile) -> ConvertedDocument:
        """Convert a file.

        Texts, Markdown and tables are read while `parts` is consumed, so their errors may come from there.

        Raises:
            DocumentError: with a reason that the submitter understands.
        """
        check_size(source.path, self._settings.max_file_bytes)
        kind = detect(source)
        if kind in ZIPPED:
            check_archive(source.path, self._settings.max_unpacked_bytes)
        if kind in ISOLATED:
            return _finished(self._pool.convert(source, kind), source, kind)
        return _finished(converter_of(kind)(source, self._settings), source, kind)


def _finished(document: ConvertedDocument, source: SourceFile, kind: Format) -> ConvertedDocument:
    """The document with a title, and parts that fail where they hold no text."""
    parts = _with_text(document.parts)
    first = next(parts)
    title = one_line(document.title) or _title(first_heading(first), PurePath(source.name).stem, kind)
    return replace(document, title=title[:MAX_TITLE_CHARS], parts=itertools.chain([first], parts))


def _title(heading: str, stem: str, kind: Format) -> str:
    """The first heading, or the file's name. A PDF's first line is often its issuer's, the same on every report."""
    return f"{heading} ({stem})" if heading and kind is Format.PDF else heading or stem


def _with_text(parts: Iterator[str]) -> Iterator[str]:
    """The parts; of blank ones at the start only the page breaks, so that a file without text fails at once."""
    breaks = 0
    for part in parts:
        if not part.isspace() and part:
            yield PAGE_BREAK * breaks + part
            yield from (rest for rest in parts if rest)
            return
        breaks += part.count(PAGE_BREAK)
    raise EmptyDocumentError("The file holds no text.")
