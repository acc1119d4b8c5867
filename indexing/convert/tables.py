"""Markdown pipe tables."""

from collections.abc import Iterable, Sequence

from indexing.convert.cleaning import one_line


def table_row(cells: Iterable[str]) -> str:
    """One line of a pipe table: line ends become spaces, pipes are escaped."""
    return "| " + " | ".join(one_line(cell).replace("|", "\\|") for cell in cells) + " |"


def separator_row(width: int) -> str:
    """The line under a table's header."""
    return "|" + " --- |" * width


def pipe_table(rows: Sequence[Sequence[str]]) -> str:
    """A pipe table whose header is the first row; rows and columns without any text are left out."""
    rows = [row for row in rows if any(cell.strip() for cell in row)]
    width = max((len(row) for row in rows), default=0)
    padded = [[*row, *([""] * (width - len(row)))] for row in rows]
    used = [column for column in range(width) if any(row[column].strip() for row in padded)]
    if not used:
        return ""
    header, *body = ([row[column] for column in used] for row in padded)
    return "\n".join([table_row(header), separator_row(len(used)), *(table_row(row) for row in body)])
