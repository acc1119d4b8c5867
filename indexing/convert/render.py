"""An HTML tree as Markdown: everything a reader sees, in order, without what is not content.

Used for pages, for e-mail bodies and for Word documents, which mammoth turns into HTML.
"""

import re
from collections.abc import Iterator

from lxml.html import HtmlElement

from indexing.convert.cleaning import one_line
from indexing.convert.tables import pipe_table

MAX_SPAN = 100
MAX_CELLS = 1_000_000

_SKIPPED = frozenset(
    [
        "script",
        "style",
        "noscript",
        "template",
        "head",
        "iframe",
        "object",
        "embed",
        "svg",
        "canvas",
        "select",
        "datalist",
        "dialog",
        "audio",
        "video",
        "map",
    ]
)
_NOISE = frozenset(["nav"])
_NOISE_ROLES = frozenset(["navigation", "search", "menubar", "dialog"])
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_LISTS = frozenset(["ul", "ol", "menu", "dir"])
_BLOCKS = _LISTS | frozenset(
    [
        "address",
        "article",
        "aside",
        "blockquote",
        "body",
        "caption",
        "center",
        "dd",
        "details",
        "div",
        "dl",
        "dt",
        "fieldset",
        "figcaption",
        "figure",
        "footer",
        "form",
        "header",
        "hgroup",
        "hr",
        "html",
        "legend",
        "li",
        "main",
        "nav",
        "p",
        "pre",
        "search",
        "section",
        "summary",
        "table",
        "tbody",
        "td",
        "tfoot",
        "th",
        "thead",
        "tr",
    ]
)
_ALL_BLOCKS = _BLOCKS | frozenset(_HEADINGS)
_SPACE = re.compile(r"[ \t\r\n\f\v]+")
_BREAK = "\x00"  # a forced line end, until the paragraph is written; cleaned text has no NUL


def render(root: HtmlElement) -> str:
    """The Markdown of an element and all below it.

    Raises:
        RecursionError: the elements are nested deeper than the interpreter's stack.
    """
    return "\n\n".join(_blocks(root))


def _tag(element: HtmlElement) -> str:
    return element.tag.lower() if isinstance(element.tag, str) else ""  # comments and instructions have no name


def _hidden(element: HtmlElement) -> bool:
    tag = _tag(element)
    if not tag or tag in _SKIPPED or tag in _NOISE or (element.get("role") or "").lower() in _NOISE_ROLES:
        return True
    style = (element.get("style") or "").replace(" ", "").lower()
    return "hidden" in element.attrib or "display:none" in style or "visibility:hidden" in style


def _blocks(element: HtmlElement) -> list[str]:
    """The blocks of a container: runs of inline content become paragraphs."""
    blocks: list[str] = []
    run: list[str] = [element.text or ""]

    def flush() -> None:
        if paragraph := _paragraph("".join(run)):
            blocks.append(paragraph)
        run.clear()

    for child in element:
        if not _hidden(child):
            if _is_block(child):
                flush()
                blocks.extend(_block(child))
            else:
                run.append(_inline(child))
        run.append(child.tail or "")
    flush()
    return blocks


def _is_block(element: HtmlElement) -> bool:
    if _tag(element) in _ALL_BLOCKS:
        return True
    return any(_tag(below) in _ALL_BLOCKS for below in element.iterdescendants())


def _paragraph(text: str) -> str:
    lines = (_SPACE.sub(" ", line).strip() for line in text.split(_BREAK))
    return "\n".join(line for line in lines if line)


def _block(element: HtmlElement) -> list[str]:  # noqa: PLR0911  # one a kind of block
    tag = _tag(element)
    if tag in _HEADINGS:
        return _heading(element)
    if tag in _LISTS:
        return [text] if (text := "\n".join(_list(element))) else []
    if tag == "table":
        return _table(element)
    if tag == "pre":
        return _code(element)
    if tag == "dl":
        return [text] if (text := "\n".join(_definitions(element))) else []
    if tag == "blockquote":
        return [_prefixed("> ", "\n\n".join(_blocks(element)))] if one_line(element.text_content()) else []
    return _blocks(element)


def _heading(element: HtmlElement) -> list[str]:
    blocks = [one_line(block) for block in _blocks(element)]
    if not blocks:
        return []
    return ["#" * _HEADINGS[_tag(element)] + " " + " ".join(blocks).lstrip("# ")]


def _prefixed(prefix: str, text: str) -> str:
    return "\n".join(f"{prefix}{line}".rstrip() for line in text.split("\n"))


def _code(element: HtmlElement) -> list[str]:
    for line_break in element.iter("br"):
        line_break.text = "\n"
    code = element.text_content().strip("\n")
    if not code.strip():
        return []
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", code)), default=0))
    return [f"{fence}\n{code}\n{fence}"]


# --- Lists ---------------------------------------------------------------------------------------------------------


def _item(marker: str, blocks: list[str]) -> list[str]:
    """A list item: its first block behind the marker, the others indented under it."""
    indent = "    "
    lines: list[str] = []
    for block in blocks or [""]:
        for line in block.split("\n"):
            lines.append(f"{indent}{line}" if lines else f"{marker} {line}".rstrip())
    return lines


def _number(value: str | None, otherwise: int) -> int:
    return int(value) if value and re.fullmatch(r"-?\d{1,9}", value.strip()) else otherwise


def _list(element: HtmlElement) -> Iterator[str]:
    ordered = _tag(element) == "ol"
    number = _number(element.get("start"), 1)
    for child in element:
        if _hidden(child):
            continue
        if _tag(child) == "li":
            number = _number(child.get("value"), number)
            if blocks := _blocks(child):
                yield from _item(f"{number}." if ordered else "-", blocks)
            number += 1
        else:  # a list directly in a list, which editors write: it belongs under the item before
            for block in _block(child) if _is_block(child) else [_paragraph(_inline(child))]:
                yield from (f"    {line}" for line in block.split("\n") if line)


def _definitions(element: HtmlElement) -> Iterator[str]:
    for child in element:
        if _hidden(child):
            continue
        tag = _tag(child)
        if tag == "div":
            yield from _definitions(child)
        elif blocks := _blocks(child):
            lines = _item("-", blocks)
            yield from (f"    {line}" for line in lines) if tag == "dd" else lines


# --- Tables --------------------------------------------------------------------------------------------------------


def _rows(table: HtmlElement) -> Iterator[HtmlElement]:
    for child in table:
        if _hidden(child):
            continue
        if _tag(child) == "tr":
            yield child
        elif _tag(child) in ("thead", "tbody", "tfoot"):
            yield from (row for row in child if _tag(row) == "tr" and not _hidden(row))


def _cells(row: HtmlElement) -> list[HtmlElement]:
    return [cell for cell in row if _tag(cell) in ("td", "th")]


def _table(table: HtmlElement) -> list[str]:
    captions = [text for child in table if _tag(child) == "caption" for text in _blocks(child)]
    rows = [_cells(row) for row in _rows(table)]
    if _is_layout(rows):
        return captions + [block for row in rows for cell in row for block in _blocks(cell)]
    text = pipe_table(_grid(rows))
    return captions + ([text] if text else [])


def _is_layout(rows: list[list[HtmlElement]]) -> bool:
    """Whether the table only places blocks on the page: one cell, or one row with headings in it."""
    cells = [cell for row in rows for cell in row]
    if len(cells) <= 1:
        return True
    return len(rows) == 1 and any(next(cell.iter(*_HEADINGS), None) is not None for cell in cells)


def _grid(rows: list[list[HtmlElement]]) -> list[list[str]]:
    """The table's cells by row and column; a cell that spans several is repeated, so that each row reads alone."""
    grid: list[list[str]] = []
    below: dict[int, tuple[int, str]] = {}  # column → rows still to fill, text
    filled = 0
    for row in rows:
        line: list[str] = []

        def carry(line: list[str] = line) -> None:
            while len(line) in below:
                left, text = below.pop(len(line))
                if left > 1:
                    below[len(line)] = (left - 1, text)
                line.append(text)

        for cell in row:
            carry()
            text = cell_text(cell)
            width, height = _span(cell, "colspan"), _span(cell, "rowspan")
            for _ in range(width if filled + width < MAX_CELLS else 1):
                if height > 1:
                    below[len(line)] = (height - 1, text)
                line.append(text)
        carry()
        filled += len(line)
        grid.append(line)
    return grid


def _span(cell: HtmlElement, name: str) -> int:
    return min(max(_number(cell.get(name), 1), 1), MAX_SPAN)


def cell_text(cell: HtmlElement) -> str:
    """What a cell says, on one line; a table inside it is read row by row."""
    parts: list[str] = []
    for block in _blocks(cell):
        lines = [line for line in block.split("\n") if not re.fullmatch(r"\|( --- \|)+", line)]
        parts.extend(line.strip("| ").replace(" | ", " ") if line.startswith("| ") else line for line in lines)
    return one_line(" ".join(part.lstrip("# ") for part in parts))


# --- Inline --------------------------------------------------------------------------------------------------------


def _inline(element: HtmlElement) -> str:  # noqa: PLR0911  # one a kind of element
    tag = _tag(element)
    if tag == "br":
        return _BREAK
    if tag == "img":
        return f" {one_line(element.get('alt') or '')} "
    if tag == "input":
        return _input(element)
    inner = (element.text or "") + "".join(
        ("" if _hidden(child) else _inline(child)) + (child.tail or "") for child in element
    )
    if tag in ("code", "kbd", "samp", "tt") and inner.strip() and "`" not in inner:
        return f"`{inner}`"
    if tag == "a":
        return _link(element, inner)
    if tag == "sup" and re.fullmatch(r"\s*-?\w{1,3}\s*", inner):
        return f"^{inner.strip()}"
    if tag == "q":
        return f"“{inner}”"
    return f" {inner} " if tag in ("button", "label", "option") else inner


def _input(element: HtmlElement) -> str:
    kind = (element.get("type") or "text").lower()
    if kind in ("checkbox", "radio"):
        return "[x] " if "checked" in element.attrib else "[ ] "
    return ""


def _link(element: HtmlElement, inner: str) -> str:
    """A link keeps its address where that means something outside of the page."""
    target = (element.get("href") or "").strip()
    text = one_line(inner.replace(_BREAK, " "))
    if not text or text == target or not re.match(r"(?:https?://|mailto:)\S+$", target):
        return inner
    return f"[{text}]({target})"
