"""Reads the common form line by line into blocks, in bounded memory.

Every character of the text belongs to exactly one block, so that joining the `raw` of consecutive blocks gives back the
text between them to the letter.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum, auto

from indexing.convert.base import PAGE_BREAK

MAX_LINE_CHARS = 20_000
MAX_BLOCK_CHARS = 40_000
MAX_HEADING_CHARS = 300
"""Of a heading in a section path, which every passage of the section repeats."""

_HEADING = re.compile(r" {0,3}(#{1,6})[ \t]+(\S.*)")
_SETEXT = re.compile(r" {0,3}(=+|-{2,})[ \t]*$")
_LIST_ITEM = re.compile(r"[ \t]*(?:[-*+•]|\d{1,3}[.)])[ \t]+\S")
_FENCE = re.compile(r" {0,3}(```+|~~~+)")
_LINE = re.compile(r"\n+|[^\n]+\n?")
_SENTENCE_END = re.compile(r"[.!?:;|)\]\"”’]\s*$")


class Kind(Enum):
    """What a block is."""

    HEADING = auto()
    PARAGRAPH = auto()
    LIST_ITEM = auto()
    TABLE = auto()
    CODE = auto()


_GOES_ON = {
    Kind.PARAGRAPH: (Kind.PARAGRAPH,),
    Kind.LIST_ITEM: (Kind.PARAGRAPH,),
    Kind.TABLE: (Kind.TABLE,),
}


@dataclass(frozen=True, slots=True)
class Block:
    """A run of lines and the blank lines after it.

    Attributes:
        raw: The verbatim text, blank lines included.
        start: Offset of `raw` in the source text.
        page: The page that it starts on, from 1.
        level: Heading level, 1 to 6; 0 for other kinds.
        heading: The heading's words, without marks.
    """

    kind: Kind
    raw: str
    start: int
    page: int
    level: int = 0
    heading: str = ""


def read_blocks(parts: Iterable[str]) -> Iterator[Block]:
    """Reads blocks from the pieces of a text. Overlong lines and blocks are cut, never dropped."""
    open_block: _OpenBlock | None = None
    offset, page = 0, 1
    for line in _lines(parts):
        content = line.replace(PAGE_BREAK, "")
        if open_block is None:
            open_block = _OpenBlock(_kind(content), offset, page)
        elif not open_block.takes(line, content):
            yield open_block.close()
            open_block = open_block.next(content, offset, page)
        open_block.add(line, content)
        offset += len(line)
        page += line.count(PAGE_BREAK)
    if open_block is not None:
        yield open_block.close()


class _OpenBlock:
    """A block that may take more lines."""

    def __init__(self, kind: Kind, start: int, page: int) -> None:
        self.kind, self.start, self.page = kind, start, page
        self.lines: list[str] = []
        self.chars = 0
        self.filled = False
        self.blank = False  # a blank line came after its content
        self.fence = ""
        self.setext = 0

    def takes(self, line: str, content: str) -> bool:
        """Whether the next line belongs to this block."""
        if self.chars >= MAX_BLOCK_CHARS:
            return False
        if self.fence or not content.strip():
            return True
        if not self.filled or self.setext or self.kind in (Kind.HEADING, Kind.CODE):
            return False
        if PAGE_BREAK in line or PAGE_BREAK in "".join(self.lines[-2:]):
            return self.kind is Kind.PARAGRAPH is _kind(content) and self._runs_on(content)
        return not self.blank and _kind(content) in _GOES_ON.get(self.kind, ())

    def add(self, line: str, content: str) -> None:
        if fence := _FENCE.match(content):
            if not self.fence and self.kind is Kind.CODE and not self.lines:
                self.fence = fence[1]
            elif self.fence and content.strip().startswith(self.fence) and not content.strip().strip(self.fence[0]):
                self.fence = ""
        # `Title` over `=====` is a heading; over `-----` too, unless the lines above are several (a rule below a text)
        if self.kind is Kind.PARAGRAPH and len(self.lines) == 1 and (match := _SETEXT.match(content)):
            self.setext = 1 if match[1][0] == "=" else 2
        self.blank = not content.strip()
        self.filled = self.filled or not self.blank
        self.lines.append(line)
        self.chars += len(line)

    def next(self, content: str, start: int, page: int) -> "_OpenBlock":
        """The block after this one; code that was cut for its length goes on as code."""
        after = _OpenBlock(Kind.CODE if self.fence else _kind(content), start, page)
        after.fence = self.fence
        return after

    def close(self) -> Block:
        raw = "".join(self.lines)
        if self.setext:
            return Block(Kind.HEADING, raw, self.start, self.page, self.setext, _plain(self.lines[0].strip()))
        if self.kind is Kind.HEADING and (
            match := _HEADING.match(raw.replace(PAGE_BREAK, "").split("\n", 1)[0].rstrip())
        ):
            return Block(Kind.HEADING, raw, self.start, self.page, len(match[1]), _plain(_unclosed(match[2])))
        return Block(self.kind, raw, self.start, self.page)

    def _runs_on(self, content: str) -> bool:
        """Whether a paragraph that a page break cuts goes on: no full stop before it, a small letter after it."""
        before = "".join(self.lines).rstrip()
        return bool(before) and not _SENTENCE_END.search(before) and content.lstrip()[:1].islower()


def _kind(content: str) -> Kind:
    if _HEADING.match(content.rstrip("\r\n")):
        return Kind.HEADING
    if content.lstrip().startswith("|"):
        return Kind.TABLE
    if _FENCE.match(content):
        return Kind.CODE
    if _LIST_ITEM.match(content):
        return Kind.LIST_ITEM
    return Kind.PARAGRAPH


def _unclosed(heading: str) -> str:
    """A heading without the marks that may close it, which stand after a space: `C#` is a name."""
    open_end = heading.rstrip("#")
    return open_end.rstrip() if open_end[-1:].isspace() else heading


def _plain(heading: str) -> str:
    """A heading without emphasis marks, backslashes and link targets."""
    heading = heading[: 4 * MAX_HEADING_CHARS]  # the patterns take time that grows with the square of the length
    heading = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", heading)
    heading = re.sub(r"(\*\*|__|`)(.+?)\1", r"\2", heading)
    return re.sub(r"\\([\\`*_{}\[\]()#+.!|-])", r"\1", heading).strip()[:MAX_HEADING_CHARS]


def _lines(parts: Iterable[str]) -> Iterator[str]:
    """Lines with their ends, empty ones as one run, of at most `MAX_LINE_CHARS`, cut at white space."""
    rest = ""
    for part in parts:
        text = rest + part
        rest = ""
        for match in _LINE.finditer(text):
            line = match.group()
            if not line.endswith("\n") and match.end() == len(text) and len(line) <= MAX_LINE_CHARS:
                rest = line
            else:
                *whole, last = cut(line, MAX_LINE_CHARS)
                yield from whole
                if last.endswith("\n"):
                    yield last
                else:
                    rest = last
    if rest:
        yield from cut(rest, MAX_LINE_CHARS)


def cut(text: str, limit: int) -> list[str]:
    """Cuts a text into pieces of at most `limit` characters, after white space where there is some."""
    pieces = []
    while len(text) > limit:
        at = max(text.rfind(" ", 0, limit), text.rfind("\t", 0, limit)) + 1 or limit
        pieces.append(text[:at])
        text = text[at:]
    pieces.append(text)
    return pieces
