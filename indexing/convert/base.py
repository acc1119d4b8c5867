"""What a converter gets and gives."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

PAGE_BREAK = "\f"
"""Stands between two pages of the common form, as in Haystack's converters."""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file to convert: where its bytes are, and the name that its submitter gave it."""

    path: Path
    name: str


@dataclass(frozen=True, slots=True)
class ConvertedDocument:
    """A document in the common form: Markdown-like text with ATX headings, pipe tables and page breaks.

    Attributes:
        title: Title from the document's own metadata or first heading; the file's stem where it has none.
        parts: The text in pieces, in order; `"".join(parts)` is the source text. A piece ends at a line's end, so
            that a reader can work piece by piece in bounded memory.
        paged: Whether `PAGE_BREAK` separates pages (else passages have no page number).
        metadata: What the format knows: author, created, language, sheet names, sender, …
    """

    title: str
    parts: Iterator[str]
    paged: bool = False
    metadata: dict[str, str] = field(default_factory=dict)
