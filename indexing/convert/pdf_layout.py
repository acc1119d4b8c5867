"""From a page's text fragments, with place and font, to Markdown: headings, paragraphs, form fields, lists, tables.

Fragments keep the order of the page's content stream: producers write a table cell by cell and a column line by line,
which sorting by place would tear apart.
"""

import functools
import itertools
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from indexing.convert.cleaning import one_line
from indexing.convert.tables import pipe_table

HEADING_RATIO = 1.15  # a line this much larger than the body text is a heading
MAX_HEADING_CHARS = 160
BODY_SHARE = 0.1  # prose in a size that this share of the characters has is body text
PROSE_LINE_CHARS = 60  # a size whose lines are longer on average is no heading's
FULL_LINE_SHARE = 0.6  # a line shorter than this share of its column ends its paragraph
MAX_LEADING = 1.75  # distance of two lines of one paragraph, in font sizes
CHAR_WIDTH = 0.5  # estimate, in font sizes: fragments carry no width
PROSE_WORDS = 8  # a heading that ends like a sentence and has so many words is one
CELL_GAP = 1.5  # space between two cells of a table row, in font sizes

_BULLET = re.compile(r"^(?:[•▪●◦‣∙■□○\uf0b7\uf0a7]\s*|[–·*-]\s+)(?=\S)")
_LONE_MARKER = re.compile(r"(?:[•▪●◦‣∙·■□○–\uf0b7\uf0a7-]|(\(?(?:\d{1,3}|[a-zA-Z])[.)]))")
_NUMBERED = re.compile(r"^\(?(?:\d{1,3}|[a-zA-Z])[.)]\s+(?=\S)")
_SENTENCE_END = re.compile(r"[.!?:;][\"'”’)]?$")
_HYPHENATED = re.compile(r"[^\W\d_]{2}[-\u00ad\u2010]$")


@dataclass(frozen=True, slots=True)
class Fragment:
    """A piece of text as the page draws it. `x` and `y` in points from the lower left; `size` in points."""

    x: float
    y: float
    size: float
    bold: bool
    text: str


@dataclass(slots=True)
class Line:
    """Fragments at one height, in drawing order."""

    fragments: list[Fragment] = field(default_factory=list)

    @property
    def text(self) -> str:
        """What it says."""
        return one_line("".join(fragment.text for fragment in self.fragments))

    @property
    def x(self) -> float:
        """Where it starts."""
        return min(fragment.x for fragment in self.fragments)

    @property
    def y(self) -> float:
        """Its height on the page."""
        return self.fragments[0].y

    @property
    def size(self) -> float:
        """The size of its longest fragment."""
        return max(self.fragments, key=lambda fragment: len(fragment.text)).size

    @property
    def bold(self) -> bool:
        """Whether all of it is bold."""
        return all(fragment.bold for fragment in self.fragments)


def normalised(text: str) -> str:
    """The words of a line without numbers and case: equal for `Page 1 of 9` and `page 2 of 9`."""
    return one_line(re.sub(r"\d+", "#", text)).casefold()


def lines_of(fragments: Sequence[Fragment]) -> list[Line]:
    """Group fragments into lines, in drawing order; blank ones only add space."""
    lines: list[Line] = []
    ended = True
    for fragment in fragments:
        for index, text in enumerate(fragment.text.split("\n")):
            ended = ended or index > 0
            if not text.strip():
                if text and lines and not ended:
                    lines[-1].fragments.append(_with_text(fragment, text))
                continue
            space = ""
            if ended or not _same_height(lines[-1], fragment):
                if lines and _same_height(lines[-1], fragment) and fragment.x > lines[-1].x:
                    space = " " if fragment.x - _end(lines[-1]) > 0.3 * fragment.size else ""
                else:
                    lines.append(Line())
            lines[-1].fragments.append(_with_text(fragment, space + text))
            ended = False
    return lines


def _end(line: Line) -> float:
    last = line.fragments[-1]
    return last.x + len(last.text.strip()) * CHAR_WIDTH * last.size


def _with_text(fragment: Fragment, text: str) -> Fragment:
    return Fragment(fragment.x, fragment.y, fragment.size, fragment.bold, text)


def _same_height(line: Line, fragment: Fragment) -> bool:
    return abs(line.y - fragment.y) <= 0.5 * max(line.size, fragment.size)


@dataclass(frozen=True)
class Layout:
    """What sizes mean in a document: its body text's size, and the levels of larger ones."""

    body: float
    levels: Mapping[float, int]

    @classmethod
    def of(cls, lines: Sequence[Line]) -> "Layout":
        """Judge by all lines of a document."""
        chars: Counter[float] = Counter()
        count: Counter[float] = Counter()
        for line in lines:
            chars[line.size] += len(line.text)
            count[line.size] += 1
        # Forms mix a small size for their fields with a larger one for prose: both are body text.
        prose = {size for size in chars if chars[size] > PROSE_LINE_CHARS * count[size]}
        usual = chars.most_common(1)[0][0] if chars else 1.0
        body = max([usual, *(size for size in prose if chars[size] >= BODY_SHARE * chars.total())])
        large = sorted((size for size in chars if size >= HEADING_RATIO * body and size not in prose), reverse=True)
        return cls(body=body, levels={size: min(level, 5) for level, size in enumerate(large, 1)})

    def heading_level(self, line: Line) -> int:
        """1 to 6 for a heading, 0 for text."""
        text = line.text
        if len(text) > MAX_HEADING_CHARS or not re.search(r"[^\W\d_]", text):
            return 0
        if line.size in self.levels:
            return self.levels[line.size]
        is_title = line.bold and line.size >= self.body and not _SENTENCE_END.search(text) and not text.endswith(",")
        return min(max(self.levels.values(), default=0) + 1, 6) if is_title else 0


# --- Blocks --------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Block:
    """A block under construction. `kind`: heading, field, item, rows or text."""

    kind: str
    text: str
    last: Line
    level: int = 0
    value_x: float = 0.0
    open_label: bool = False
    rows: list[list[Fragment]] = field(default_factory=list)


def page_markdown(lines: Sequence[Line], layout: Layout, bookmarks: Mapping[str, int]) -> str:
    """The Markdown of one page. `bookmarks`: normalised titles of the outline, with their level."""
    blocks: list[_Block] = []
    widths = _column_widths(lines)
    for line in lines:
        previous = blocks[-1] if blocks else None
        if previous is not None and (_continue_field(previous, line) or _fill_marker(previous, line)):
            continue
        level = bookmarks.get(normalised(line.text)) or layout.heading_level(line)
        if fields := _fields(line):
            blocks.extend(fields)
        elif level:
            _add_heading(blocks, line, level)
        elif len(cells := _cells(line)) > 1:
            _add_row(blocks, line, cells)
        elif marker := _BULLET.match(line.text) or _NUMBERED.match(line.text):
            text = line.text[marker.end() :] if _BULLET.match(line.text) else line.text
            blocks.append(_Block("item", f"- {text}" if _BULLET.match(line.text) else text, line))
        elif previous is not None and previous.kind in ("text", "item") and _continues(previous, line, widths):
            previous.text = _join(previous.text, line.text)
            previous.last = line
        else:
            blocks.append(_Block("text", line.text, line))
    return _written(_prose_demoted(blocks))


def _prose_demoted(blocks: Sequence[_Block]) -> list[_Block]:
    """Turns runs of headings that read as prose into paragraphs: some forms set their narrative in the largest size."""
    kept: list[_Block] = []
    for (kind, _), group in itertools.groupby(blocks, key=lambda block: (block.kind, block.level)):
        run = list(group)
        text = functools.reduce(_join, (block.text for block in run))
        goes_on = any(block.text[:1].islower() for block in run[1:])
        is_prose = len(text.split()) >= PROSE_WORDS and (bool(_SENTENCE_END.search(text)) or goes_on)
        if kind == "heading" and is_prose:
            kept.append(_Block("text", text, run[-1].last))
        else:
            kept += run
    return kept


def _fill_marker(block: _Block, line: Line) -> bool:
    """Put a line behind the bullet or number that was drawn on its own before it."""
    marker = _LONE_MARKER.fullmatch(block.text) if block.kind == "text" else None
    if marker is None or abs(block.last.y - line.y) > line.size or _LONE_MARKER.fullmatch(line.text):
        return False
    block.kind, block.text, block.last = "item", f"{marker[1] or '-'} {line.text}", line
    return True


def _column_widths(lines: Sequence[Line]) -> dict[int, int]:
    """Characters of the longest line that starts at a place, so that short last lines of a paragraph are known."""
    widths: dict[int, int] = defaultdict(int)
    for line in lines:
        widths[round(line.x / 10)] = max(widths[round(line.x / 10)], len(line.text))
    return widths


def _continues(block: _Block, line: Line, widths: Mapping[int, int]) -> bool:
    last = block.last
    drop = last.y - line.y
    if abs(last.size - line.size) > 0.1 * line.size or not 0 < drop <= MAX_LEADING * line.size:
        return False
    width = max(widths.get(round(last.x / 10), 0), 40)
    if len(last.text) >= FULL_LINE_SHARE * width:
        return True
    return line.text[:1].islower() and not _SENTENCE_END.search(last.text)


def _join(text: str, more: str) -> str:
    if _HYPHENATED.search(text) and more[:1].islower():
        return text[:-1] + more
    return f"{text} {more}"


def _add_heading(blocks: list[_Block], line: Line, level: int) -> None:
    previous = blocks[-1] if blocks else None
    if (
        previous is not None
        and previous.kind == "heading"
        and previous.level == level
        and 0 < previous.last.y - line.y <= MAX_LEADING * line.size
        and len(previous.text) + len(line.text) <= MAX_HEADING_CHARS
    ):
        previous.text = _join(previous.text, line.text)
        previous.last = line
        return
    blocks.append(_Block("heading", line.text, line, level=level))


def _add_row(blocks: list[_Block], line: Line, cells: list[Fragment]) -> None:
    if blocks and blocks[-1].kind == "rows":
        blocks[-1].rows.append(cells)
        blocks[-1].last = line
    else:
        blocks.append(_Block("rows", "", line, rows=[cells]))


# --- Form fields ---------------------------------------------------------------------------------------------------


def _fields(line: Line) -> list[_Block]:
    """Bold labels with a value each, as forms have them; nothing where the line is no row of a form."""
    groups: list[tuple[bool, Fragment, str]] = []
    for fragment in line.fragments:
        is_label = fragment.bold and bool(fragment.text.strip())
        starts = not groups or is_label != groups[-1][0] or (is_label and groups[-1][2].rstrip().endswith(":"))
        if starts and fragment.text.strip():
            groups.append((is_label, fragment, fragment.text))
        elif groups:
            kind, first, text = groups[-1]
            groups[-1] = (kind, first, text + fragment.text)
    if not any(is_label and text.rstrip().endswith(":") for is_label, _, text in groups):
        return []
    blocks: list[_Block] = []
    for is_label, first, text in groups:
        if is_label or not blocks:
            label = one_line(text)
            open_label = is_label and not label.endswith(":")
            blocks.append(_Block("field", label, line, value_x=first.x, open_label=open_label))
        else:
            blocks[-1].text = f"{blocks[-1].text} {one_line(text)}"
            blocks[-1].value_x, blocks[-1].open_label = first.x, False
    return blocks


def _continue_field(block: _Block, line: Line) -> bool:
    """Add a line to the form field before it where it carries on its label or its value."""
    if block.kind != "field" or abs(block.last.y - line.y) > 2 * line.size:
        return False
    if block.last.y < line.y and not block.text.endswith(":"):
        return False  # a value may be drawn above the last line of its label, but nothing else is
    if line.bold and not block.open_label:
        return False
    if block.open_label or (not line.fragments[0].bold and line.x >= block.value_x - 3):
        block.text = f"{block.text} {line.text}"
        block.open_label = line.bold and not line.text.endswith(":")
        block.last = line
        return True
    return False


# --- Tables --------------------------------------------------------------------------------------------------------


def _cells(line: Line) -> list[Fragment]:
    """The line's fragments, joined where they stand close: one a cell of a table row."""
    cells: list[Fragment] = []
    end = 0.0
    for fragment in line.fragments:
        if not fragment.text.strip():
            continue
        if cells and fragment.x - end < CELL_GAP * fragment.size:
            first = cells[-1]
            cells[-1] = Fragment(first.x, first.y, first.size, first.bold, first.text + fragment.text)
        else:
            cells.append(fragment)
        end = max(end, fragment.x + len(fragment.text.strip()) * CHAR_WIDTH * fragment.size)
    return cells


def _rows_markdown(rows: list[list[Fragment]]) -> str:
    """A pipe table of rows with two cells or more; a single one is a line of text."""
    if len(rows) == 1:
        return one_line("  ".join(cell.text for cell in rows[0]))
    starts: list[float] = []
    for x in sorted(cell.x for row in rows for cell in row):
        if not starts or x - starts[-1] > 2 * rows[0][0].size:
            starts.append(x)
    table = []
    for row in rows:
        texts = [""] * len(starts)
        for cell in row:
            column = min(range(len(starts)), key=lambda index: abs(starts[index] - cell.x))
            texts[column] = f"{texts[column]} {cell.text}".strip()
        table.append(texts)
    return pipe_table(table)


def _written(blocks: Sequence[_Block]) -> str:
    parts: list[str] = []
    kind = ""
    for block in blocks:
        text = {
            "heading": f"{'#' * block.level} {block.text}",
            "field": f"- {block.text}",
            "rows": _rows_markdown(block.rows) if block.rows else "",
        }.get(block.kind, block.text)
        parts.append(("\n" if block.kind == kind and kind in ("field", "item") else "\n\n") + text)
        kind = block.kind
    return "".join(parts)
