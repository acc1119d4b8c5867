"""Excel workbooks: a heading a sheet, a pipe table for each block of cells, charts, comments.

openpyxl directly, which markitdown reaches through pandas: pandas takes the sheet as one table, so that blank rows
become `NaN` and side-by-side tables run into each other.
"""

import datetime
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from indexing.convert.base import ConvertedDocument, SourceFile
from indexing.convert.cleaning import one_line
from indexing.convert.ooxml import (
    chart_markdown,
    core_properties,
    find,
    find_all,
    local,
    parse_xml,
    relationships,
    text_of,
)
from indexing.convert.tables import pipe_table, separator_row, table_row
from pipelines.core.settings import ConvertSettings

STREAMED_BYTES = 32 * 1024 * 1024
"""Sheets of more unpacked XML than this are streamed row by row: in memory they take about fifty times as much."""

Cells = dict[tuple[int, int], str]


def convert(source: SourceFile, settings: ConvertSettings) -> ConvertedDocument:
    """Convert a workbook: the values that its formulas had when it was saved."""
    title, metadata = core_properties(source.path)
    with zipfile.ZipFile(source.path) as archive:
        size = sum(info.file_size for info in archive.infolist() if info.filename.startswith("xl/worksheets/"))
    parts = _streamed(source.path) if size > STREAMED_BYTES else _whole(source.path)
    return ConvertedDocument(title=title, parts=parts, metadata=metadata)


def _whole(path: Path) -> Iterator[str]:
    from openpyxl import load_workbook

    with path.open("rb") as stream:  # by path, openpyxl insists on its extensions
        workbook = load_workbook(stream, data_only=True)
    with zipfile.ZipFile(path) as archive:
        extras = _Extras(archive)
        for name in workbook.sheetnames:
            sheet = workbook[name]
            if sheet.sheet_state != "visible":
                continue
            blocks = [f"## {one_line(name)}"]
            if hasattr(sheet, "iter_rows"):
                blocks.extend(pipe_table(rows) for rows in _regions(_cells(sheet)))
            blocks.extend(extras.of(name))
            yield "\n\n".join(block for block in blocks if block) + "\n\n"


def _streamed(path: Path) -> Iterator[str]:
    from openpyxl import load_workbook

    workbook = load_workbook(path.open("rb"), data_only=True, read_only=True)  # read until the last row is given
    for sheet in workbook.worksheets:
        if sheet.sheet_state != "visible":
            continue
        yield f"## {one_line(sheet.title)}\n\n"
        width = 0
        for values in sheet.iter_rows(values_only=True):
            cells = [_text(value) for value in values]
            if any(cells):
                yield f"{table_row(cells)}\n"
                if not width:
                    width = len(cells)
                    yield f"{separator_row(width)}\n"
        yield "\n"


def _text(value: Any, number_format: str = "") -> str:
    if value is None:
        return ""
    if isinstance(value, datetime.datetime) and value.time() == datetime.time():
        return value.date().isoformat()
    if isinstance(value, float) and "%" in number_format:
        return f"{value * 100:.10g}%"
    return f"{value:.15g}" if isinstance(value, float) else one_line(str(value))


def _cells(sheet: Any) -> Cells:
    cells = {
        (row, column): text
        for (row, column), cell in sheet._cells.items()
        if (text := _text(cell.value, cell.number_format or ""))
    }
    for merged in sheet.merged_cells.ranges:
        text = cells.get((merged.min_row, merged.min_col), "")
        if text and merged.size["rows"] * merged.size["columns"] <= 1000:
            for row in range(merged.min_row, merged.max_row + 1):
                for column in range(merged.min_col, merged.max_col + 1):
                    cells[row, column] = text
    return cells


def _regions(cells: Cells) -> list[list[list[str]]]:
    """The sheet's tables: groups of cells that touch, also at a corner, in reading order."""
    left = set(cells)
    regions: list[set[tuple[int, int]]] = []
    for start in sorted(cells):
        if start not in left:
            continue
        left.discard(start)
        region, border = {start}, [start]
        while border:
            row, column = border.pop()
            near = {(row + down, column + right) for down in (-1, 0, 1) for right in (-1, 0, 1)} & left
            left -= near
            region |= near
            border.extend(near)
        regions.append(region)
    return [_rows(region, cells) for region in regions]


def _rows(region: Iterable[tuple[int, int]], cells: Cells) -> list[list[str]]:
    rows = sorted({row for row, _ in region})
    columns = sorted({column for _, column in region})
    inside = set(region)
    return [[cells[row, column] if (row, column) in inside else "" for column in columns] for row in rows]


class _Extras:
    """What lies on a sheet beside its cells: charts, text boxes, comments."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._names = set(archive.namelist())
        self._sheets: dict[str, str] = {}
        targets = relationships(archive, "xl/workbook.xml")
        for sheet in find_all(parse_xml(archive.read("xl/workbook.xml")), "sheet"):
            identifier = next((value for key, value in sheet.attrib.items() if str(key).endswith("}id")), "")
            if identifier in targets:
                self._sheets[local(sheet, "name")] = targets[identifier][1]
        self._people = {
            local(person, "id"): local(person, "displayName")
            for name in sorted(self._names)
            if name.startswith("xl/persons/")
            for person in find_all(parse_xml(archive.read(name)), "person")
        }

    def of(self, sheet: str) -> Iterator[str]:
        """The blocks of a sheet, by its name."""
        found = relationships(self._archive, self._sheets.get(sheet, "")).values()
        targets = [(kind, target) for kind, target in found if target in self._names]
        for kind, target in targets:
            if kind == "drawing":
                yield from self._drawing(target)
        threaded = [target for kind, target in targets if kind == "threadedComment"]
        for target in threaded:
            yield from self._threaded(target)
        for kind, target in targets:
            if kind == "comments":
                yield from self._comments(target, skip_threads=bool(threaded))

    def _drawing(self, part: str) -> Iterator[str]:
        for shape in find_all(parse_xml(self._archive.read(part)), "txBody"):
            yield one_line(" ".join(text_of(run) for run in find_all(shape, "t")))
        for kind, target in relationships(self._archive, part).values():
            if kind == "chart" and target in self._names:
                yield chart_markdown(self._archive.read(target))

    def _threaded(self, part: str) -> Iterator[str]:
        for comment in find_all(parse_xml(self._archive.read(part)), "threadedComment"):
            text = find(comment, "text")
            person = self._people.get(local(comment, "personId"), "unknown")
            if text is not None:
                yield f"[author: {person}, time: {local(comment, 'dT')}]: {one_line(text_of(text))}"

    def _comments(self, part: str, *, skip_threads: bool) -> Iterator[str]:
        root = parse_xml(self._archive.read(part))
        authors = [text_of(author) for author in find_all(root, "author")]
        for comment in find_all(root, "comment"):
            number = local(comment, "authorId")
            author = authors[int(number)] if number.isdecimal() and int(number) < len(authors) else "unknown"
            if not (skip_threads and author.startswith("tc=")):  # the old form's copy of a threaded comment
                yield f"[author: {author}]: {one_line(' '.join(text_of(run) for run in find_all(comment, 't')))}"
