"""Tables as text (CSV, TSV): one pipe table, streamed row by row."""

import csv
import itertools
from collections.abc import Iterable, Iterator

from indexing.convert.base import ConvertedDocument, SourceFile
from indexing.convert.cleaning import read_pieces
from indexing.convert.tables import separator_row, table_row
from pipelines.core.errors import MalformedDocumentError
from pipelines.core.settings import ConvertSettings

DELIMITERS = ",;\t|"
_SAMPLE_CHARS = 64 * 1024
_SAMPLE_ROWS = 200
_BATCH_ROWS = 1024
_BATCH_CHARS = 1024 * 1024
MAX_ROW_CHARS = 4 * 1024 * 1024


def convert(source: SourceFile, settings: ConvertSettings) -> ConvertedDocument:
    """Stream a table; its first row is the header."""
    pieces = read_pieces(source.path)
    first = next(pieces, "")
    delimiter = sniff_delimiter(first[:_SAMPLE_CHARS])
    lines = (line for piece in itertools.chain([first], pieces) for line in piece.splitlines(keepends=True))
    return ConvertedDocument(title="", parts=_table(_rows(lines, delimiter)))


def sniff_delimiter(sample: str) -> str:
    """The character that cuts the first rows into the most even table; a comma where none does."""
    best, best_score = ",", 0.0
    for delimiter in DELIMITERS:
        lines = sample.splitlines(keepends=True)[:_SAMPLE_ROWS]
        try:
            widths = [len(row) for row in csv.reader(lines, delimiter=delimiter, skipinitialspace=True) if row]
        except csv.Error:
            continue
        usual = max(set(widths), key=widths.count, default=1)
        score = widths.count(usual) / len(widths) if usual > 1 else 0.0
        if score > best_score:
            best, best_score = delimiter, score
    return best


def _rows(lines: Iterable[str], delimiter: str) -> Iterator[list[str]]:
    """Rows that hold anything. Quotation marks can join any number of lines to one row, so its length is watched."""
    chars = 0

    def watched() -> Iterator[str]:
        nonlocal chars
        for line in lines:
            chars += len(line)
            if chars > MAX_ROW_CHARS:
                raise csv.Error(f"a row is longer than {MAX_ROW_CHARS:,} characters")
            yield line

    for row in csv.reader(watched(), delimiter=delimiter, skipinitialspace=True):
        chars = 0
        if any(cell.strip() for cell in row):
            yield row


def _table(rows: Iterator[list[str]]) -> Iterator[str]:
    """A pipe table. Short rows are not filled up: one wide row would make gigabytes of a small file."""
    try:
        width = 0
        for batch in _batches(rows):
            if not width:
                width = max(len(row) for row in batch)
                header = batch.pop(0)
                yield f"{table_row([*header, *[''] * (width - len(header))])}\n{separator_row(width)}\n"
            yield "".join(f"{table_row(row)}\n" for row in batch)
    except csv.Error as error:
        raise MalformedDocumentError(
            f"The table cannot be read ({error}): perhaps a quotation mark is never closed."
        ) from error


def _batches(rows: Iterator[list[str]]) -> Iterator[list[list[str]]]:
    batch: list[list[str]] = []
    chars = 0
    for row in rows:
        batch.append(row)
        chars += len(row) + sum(map(len, row))
        if len(batch) == _BATCH_ROWS or chars >= _BATCH_CHARS:
            yield batch
            batch, chars = [], 0
    if batch:
        yield batch
