"""How things look: consoles, places, tables. Text of documents is cleaned before it reaches a terminal."""

import json
import os
import re
import sys
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

PIPED_WIDTH = 1000  # nothing is folded: programs read it
# Control characters, and the marks that reorder what stands around them: a document could rewrite the screen with them.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


@cache
def console(*, stderr: bool = False) -> Console:
    """Writes to a terminal in colour, to a pipe as plain text."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() or os.environ.get("COLUMNS") else PIPED_WIDTH
    return Console(stderr=stderr, width=width, highlight=False, markup=False, emoji=False)


def clean(text: str) -> str:
    """A text without characters that command a terminal."""
    return _CONTROL.sub("", text.replace("\r\n", "\n"))


def one_line(text: str) -> str:
    """A text as one paragraph, white space collapsed."""
    return " ".join(clean(text).split())


def place(source: str) -> str:
    """A source as a person knows it: a path, relative where it lies below this folder; other sources as they are."""
    parts = urlsplit(source)
    if parts.scheme != "file":
        return one_line(source)
    path = Path(unquote(parts.path))
    try:
        return one_line(str(path.relative_to(Path.cwd())))
    except (ValueError, OSError):
        return one_line(str(path))


def where(title: str, section_path: Iterable[str], page: int | None) -> str:
    """`Title › Section › Subsection — page 3`. A first heading that the title begins with is not said twice."""
    parts = [one_line(part) for part in (title, *section_path)]
    if len(parts) > 1 and parts[0].startswith(parts[1]):
        del parts[1]
    trail = " › ".join(parts)
    return trail if page is None else f"{trail} — page {page}"


def table(*columns: str, right: Sequence[str] = ()) -> Table:
    """An empty table with these headings; numbers stand on the right."""
    made = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold")
    for column in columns:
        made.add_column(column, justify="right" if column in right else "left", overflow="fold")
    return made


def add_row(made: Table, *cells: object, style: str = "") -> None:
    """Adds a row; cells are text, never markup."""
    made.add_row(*(Text(one_line(str(cell))) for cell in cells), style=style)


def line(text: str, style: str = "", *, stderr: bool = False) -> None:
    """Writes a line, not folded when piped."""
    target = console(stderr=stderr)
    target.print(Text(text, style=style), soft_wrap=not target.is_terminal)


def print_json(value: Any) -> None:
    """Writes a value as JSON, readable and safe for a terminal."""
    text = json.dumps(value, ensure_ascii=False, indent=2, default=str)
    sys.stdout.write(_CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text) + "\n")


def cost(usd: float | None) -> str:
    """A price with as many digits as small prices need."""
    if usd is None:
        return "unknown"
    return "$0" if usd == 0 else f"${usd:.6f}".rstrip("0") if usd < 0.01 else f"${usd:.4f}"


def duration(seconds: float) -> str:
    """`4.2 s`, `3 min 20 s`, `2 h 5 min`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
