"""Tables as text (CSV, TSV): one pipe table, streamed row by row."""

import csv
import itertools
from collections.abc import Iterator

from indexing.convert.base import ConvertedDocument, SourceFile
from indexing.convert.cleaning import read_pieces
from indexing.convert.tables import separator_row, table_row
from pipelines.core.errors import MalformedDocumentError
from pipelines.core.settings import ConvertSettings

DELIMITERS = ",;\t|"
_SAMPLE_CHARS = 64 * 1024
_SAMPLE_ROWS = 200
_BATCH_ROWS = 1024


def convert(source: SourceFile, settings: ConvertSettings) -> ConvertedDocument:
    """Stream a table; its first row is the header."""
    pieces = read_pieces(source.path)
    first = next(pieces, "")
    delimiter = sniff_delimiter(first[:_SAMPLE_CHARS])
    lines = (line for piece in itertools.chain([first], pieces) for line in piece.splitlines(keepends=True))
    return ConvertedDocument(title="", parts=_table(csv.reader(lines, delimiter=delimiter, skipinitialspace=True)))


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


def _table(rows: Iterator[list[str]]) -> Iterator[str]:
    try:
        rows = (row for row in rows if any(cell.strip() for cell in row))
        sample = list(itertools.islice(rows, _SAMPLE_ROWS))
        width = max((len(row) for row in sample), default=0)
        if not sample:
            return
        header = [*sample[0], *[""] * (width - len(sample[0]))]
        yield f"{table_row(header)}\n{separator_row(width)}\n"
        body = itertools.chain(sample[1:], rows)
        while batch := list(itertools.islice(body, _BATCH_ROWS)):
            yield "".join(f"{table_row([*row, *[''] * (width - len(row))])}\n" for row in batch)
    except csv.Error as error:
        raise MalformedDocumentError(
            f"The table cannot be read ({error}): perhaps a quotation mark is never closed."
        ) from error
