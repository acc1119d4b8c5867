"""Markdown: as it is, its front matter taken as metadata and underlined headings written as ATX headings."""

import itertools
import re
from collections.abc import Iterator

import yaml

from indexing.convert.base import ConvertedDocument, SourceFile
from indexing.convert.cleaning import one_line, read_pieces
from pipelines.core.settings import ConvertSettings

_FRONT_MATTER = re.compile(r"\A\s*---[ \t]*\n(.*?)\n(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_UNDERLINE = re.compile(r" {0,3}(=+|-+)[ \t]*\n?\Z")
_NOT_PARAGRAPH = re.compile(r"\s*(?:[#>|]|[-*+] |\d+[.)] |\Z)|    ")
_MAX_FRONT_MATTER_CHARS = 64 * 1024


def convert(source: SourceFile, settings: ConvertSettings) -> ConvertedDocument:
    """Stream a Markdown file."""
    pieces = read_pieces(source.path)
    first = next(pieces, "")
    metadata, first = _front_matter(first)
    lines = (line for piece in itertools.chain([first], pieces) for line in piece.splitlines(keepends=True))
    return ConvertedDocument(title=metadata.pop("title", ""), parts=_batched(_atx_headings(lines)), metadata=metadata)


def _front_matter(text: str) -> tuple[dict[str, str], str]:
    match = _FRONT_MATTER.match(text[:_MAX_FRONT_MATTER_CHARS])
    if not match:
        return {}, text
    try:
        fields = yaml.load(match[1], Loader=yaml.BaseLoader)  # noqa: S506  # builds strings, lists and mappings only
    except (yaml.YAMLError, RecursionError):
        return {}, text
    if not isinstance(fields, dict):
        return {}, text
    metadata = {str(name): _flat(value) for name, value in fields.items()}
    return {name: value for name, value in metadata.items() if value}, text[match.end() :]


def _flat(value: object) -> str:
    if isinstance(value, list):  # one level only: aliases can nest lists into billions of items
        return ", ".join(one_line(item) for item in value if isinstance(item, str))
    return one_line(str(value)) if isinstance(value, str) else ""


def _atx_headings(lines: Iterator[str]) -> Iterator[str]:
    """The lines, with `Title` over `=====` or `-----` as `# Title` or `## Title`, outside of code."""
    fence = ""
    held = ""  # the line before, while it may turn out to be a heading
    after_blank = True
    for line in lines:
        mark = _FENCE.match(line)
        if mark and not fence:
            fence = mark[1]
        elif mark and mark[1].startswith(fence) and not line.strip(" `~\n"):
            fence = ""
        underline = None if fence else _UNDERLINE.match(line)
        if underline and held:
            yield f"{'#' if underline[1][0] == '=' else '##'} {held.strip()}\n"
            held, after_blank = "", True
            continue
        yield held
        may_be_heading = not fence and not mark and after_blank and not _NOT_PARAGRAPH.match(line)
        held = line if may_be_heading else ""
        if not held:
            yield line
        after_blank = not line.strip() or line.startswith("#")
    yield held


def _batched(lines: Iterator[str]) -> Iterator[str]:
    """Lines in pieces of some thousands, so that readers are not slowed by one step a line."""
    while batch := list(itertools.islice(lines, 4096)):
        if text := "".join(batch):
            yield text
