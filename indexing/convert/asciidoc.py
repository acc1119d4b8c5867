"""AsciiDoc: headings, lists, tables and blocks translated to Markdown, line by line."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from indexing.convert.base import ConvertedDocument, SourceFile
from indexing.convert.cleaning import read_pieces, tidy
from indexing.convert.tables import pipe_table
from pipelines.core.settings import ConvertSettings

_ATTRIBUTE = re.compile(r"^:!?([\w-]+)!?:\s*(.*)$")
_HEADING = re.compile(r"^(={1,6}|#{1,6})\s+(\S.*?)(?:\s+\1)?$")
_BLOCK_ATTRIBUTES = re.compile(r"^\[[^\]]*\]$")
_BLOCK_TITLE = re.compile(r"^\.([^\s.].*)$")
_FENCE = re.compile(r"^(-{4,}|\.{4,}|`{3,}\S*)$")
_BLOCK_EDGE = re.compile(r"^(={4,}|\*{4,}|_{4,}|--|\+{4,})$")
_COMMENT_EDGE = re.compile(r"^/{4,}$")
_LIST_ITEM = re.compile(r"^(\s*)(\*{1,5}|-|\.{1,5}|\d{1,4}\.)\s+(\S.*)$")
_DEFINITION = re.compile(r"^(\S.*?)(:{2,4}|;;)(?:\s+(\S.*))?$")
_IMAGE = re.compile(r"^(?:image|video|audio)::(\S+?)\[(.*)\]$")
_DIRECTIVE = re.compile(r"^(?:include|ifdef|ifndef|ifeval|endif|toc)::")
_TABLE_EDGE = re.compile(r"^[|,:!]===+$")
_CELL = re.compile(r"((?:(?<=\s)|^)(?:\d+(?:\.\d+)?[+*]|\.\d+\+)?(?:[<^>](?:\.[<^>])?|\.[<^>])?[aehlmsdv]?|)(?<!\\)\|")
_INLINE = (
    (re.compile(r"(?:link:)?(https?://[^\s\[\]]+)\[\^?\]"), r"\1"),
    (re.compile(r"(?:link:)?(https?://[^\s\[\]]+)\[([^\]]+)\](?!\()"), r"[\2](\1)"),
    (re.compile(r"(?:link|xref|mailto):[^\s\[\]]*\[([^\]]*)\]"), r"\1"),
    (re.compile(r"<<[^,>]+,\s*([^>]+)>>"), r"\1"),
    (re.compile(r"<<([^>]+)>>"), r"\1"),
    (re.compile(r"(?:btn|kbd|menu|pass|stem|footnote|image|icon):[^\s\[\]]*\[([^\]]*)\]"), r"\1"),
    (re.compile(r"\[\[[^\]]*\]\]|\[#[^\]]*\](?=\S)"), ""),
    (re.compile(r"(?<!\w)\*(\S(?:.*?\S)?)\*(?!\w)"), r"\1"),
    (re.compile(r"(?<!\w)_(\S(?:.*?\S)?)_(?!\w)"), r"\1"),
    (re.compile(r"(?<!\w)`\+?(\S(?:.*?\S)?)\+?`(?!\w)"), r"`\1`"),
)


def convert(source: SourceFile, settings: ConvertSettings) -> ConvertedDocument:
    """Convert an AsciiDoc file. Includes are not followed and conditions not evaluated."""
    translator = _Translator()
    for line in "".join(read_pieces(source.path)).split("\n"):
        translator.line(line.rstrip())
    text = tidy("\n".join(translator.finish()))
    return ConvertedDocument(title=translator.title, parts=iter([text]), metadata=translator.metadata)


@dataclass
class _Translator:
    title: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    output: list[str] = field(default_factory=list)
    paragraph: list[str] = field(default_factory=list)
    table: list[str] | None = None
    fence: str = ""
    in_comment: bool = False
    markers: list[str] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    attached: bool = False  # after a `+`: the next block belongs to the list item before it

    def line(self, line: str) -> None:
        """Take the next line of the source."""
        if self.in_comment or _COMMENT_EDGE.match(line):
            self.in_comment = self.in_comment != bool(_COMMENT_EDGE.match(line))
        elif self.fence:
            self._code(line)
        elif self.table is not None and self.table[0] != "":
            self._table_line(line)
        else:
            self._text(line)

    def finish(self) -> list[str]:
        """The Markdown lines of all that was taken."""
        if self.fence:
            self.output.append("```")
        self._end_table()
        self._end_paragraph()
        return self.output

    def _text(self, line: str) -> None:
        bare = line.strip()
        if bare.startswith("|") and not _TABLE_EDGE.match(bare):  # a table without edges
            self._end_paragraph()
            self.table = self.table or [""]
            self.table.append(bare)
            return
        self._end_table()
        if not bare:
            self._end_paragraph()
        elif not self._structure(bare) and not self._item(line):
            self.paragraph.append(_inline(bare))

    def _structure(self, line: str) -> bool:
        """Whether the line is markup of its own; writes what it stands for."""
        if line.startswith("//") or line == "+" or _DIRECTIVE.match(line) or _BLOCK_EDGE.match(line):
            self._end_paragraph(in_list=line == "+")
            self.attached = line == "+"
        elif match := _ATTRIBUTE.match(line):
            if match[1] in ("author", "description", "keywords", "revdate", "lang") and match[2]:
                self.metadata[match[1]] = match[2]
        elif _BLOCK_ATTRIBUTES.match(line):
            self._end_paragraph()
        elif match := _HEADING.match(line):
            heading = _inline(match[2])
            self.title = self.title or (heading if len(match[1]) == 1 else "")
            self._block(f"{'#' * len(match[1])} {heading}")
        elif match := _FENCE.match(line):
            self._end_paragraph()
            self.fence = match[1]
            self.output.extend(["", "```"])
        elif _TABLE_EDGE.match(line):
            self._end_paragraph()
            self.table = [line]
        elif match := _IMAGE.match(line):
            self._block(_inline(match[2].split(",")[0].strip(' "')))
        elif match := _BLOCK_TITLE.match(line):
            self._block(_inline(match[1]))
        else:
            return False
        return True

    def _item(self, line: str) -> bool:
        if match := _LIST_ITEM.match(line):
            self._end_paragraph(in_list=True)
            marker = f"{match[1]}{'1.' if match[2][0].isdigit() else match[2]}"
            self._nest(marker)
            depth = len(self.markers) - 1
            ordered = match[2][0] in ".0123456789"
            bullet = f"{self.numbers[-1]}." if ordered else "-"
            self.paragraph.append(f"{'    ' * depth}{bullet} {_inline(match[3])}")
            return True
        if (match := _DEFINITION.match(line.strip())) and not self.paragraph:
            definition = f": {_inline(match[3])}" if match[3] else ":"
            self.paragraph.append(f"- {_inline(match[1])}{definition}")
            return True
        return False

    def _nest(self, marker: str) -> None:
        if marker in self.markers:
            keep = self.markers.index(marker) + 1
            del self.markers[keep:], self.numbers[keep:]
            self.numbers[-1] += 1
        else:
            self.markers.append(marker)
            self.numbers.append(1)

    def _code(self, line: str) -> None:
        edge = "```" if self.fence.startswith("```") else self.fence
        if line == edge:
            self.fence = ""
            self.output.extend(["```", ""])
        else:
            self.output.append(line)

    def _table_line(self, line: str) -> None:
        assert self.table is not None
        if line.strip() == self.table[0]:
            self._end_table()
        else:
            self.table.append(line.strip())

    def _end_table(self) -> None:
        if self.table is not None:
            rows = list(_table_rows(self.table[1:]))
            self.table = None
            self._block(pipe_table(rows))

    def _block(self, text: str) -> None:
        self._end_paragraph(in_list=self.attached)
        if self.attached and self.markers:
            indent = "    " * len(self.markers)
            text = "\n".join(f"{indent}{line}" for line in text.split("\n"))
        else:
            self.markers, self.numbers = [], []
        self.attached = False
        if text.strip():
            self.output.extend(["", text, ""])

    def _end_paragraph(self, *, in_list: bool = False) -> None:
        if not self.paragraph:
            return
        text = " ".join(self.paragraph)
        is_item = _LIST_ITEM.match(text) is not None
        if not is_item and not in_list:
            self.markers, self.numbers = [], []
        self.output.extend([text] if is_item else ["", text, ""])
        self.paragraph = []


def _table_rows(lines: list[str]) -> Iterator[list[str]]:
    """Rows of cells. A line with one cell continues a row until the row is as wide as the first line."""
    width = 0
    row: list[str] = []
    for line in lines:
        if not line:
            if row:
                yield row
            row = []
            continue
        cells = _split_cells(line)
        if len(cells) > (width or 2) and not cells[-1]:
            cells.pop()  # a line that also ends with a bar
        width = width or len(cells)
        if row and len(row) + len(cells) > width:
            yield row
            row = []
        row.extend(cells)
        if len(row) >= width and len(cells) > 1:
            yield row
            row = []
    if row:
        yield row


def _split_cells(line: str) -> list[str]:
    pieces = _CELL.split(line)
    return [_inline(text.strip()) for text in pieces[2::2]] if len(pieces) > 1 else [_inline(line)]


def _inline(text: str) -> str:
    for pattern, replacement in _INLINE:
        text = pattern.sub(replacement, text)
    return text
