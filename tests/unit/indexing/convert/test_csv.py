"""CSV: dialects, escaping, uneven rows, streaming."""

import pytest

from indexing.convert import SourceFile
from pipelines.core.errors import MalformedDocumentError


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_delimiter_is_found(convert, delimiter):
    content = delimiter.join(["port", "depth"]) + "\n" + delimiter.join(["Oslo", "12"]) + "\n"
    assert convert("a.csv", content)[1] == "| port | depth |\n| --- | --- |\n| Oslo | 12 |\n"


def test_quoted_cells_keep_delimiters_lines_and_pipes(convert):
    text = convert("a.csv", 'a,b\n"x, y","one\ntwo | three"\n')[1]
    assert text.splitlines()[2] == "| x, y | one two \\| three |"


def test_uneven_rows_lose_nothing(convert):
    text = convert("a.csv", "a,b\n1\n1,2,3\n")[1]
    assert text == "| a | b |  |\n| --- | --- | --- |\n| 1 |\n| 1 | 2 | 3 |\n"


def test_single_column_is_a_table(convert):
    assert convert("a.csv", "name\nAda\nBob\n")[1].startswith("| name |\n| --- |\n| Ada |")


def test_quote_that_never_closes_has_a_reason(convert):
    with pytest.raises(MalformedDocumentError, match="quotation mark is never closed"):
        convert("a.csv", 'a,b\n1,"' + "x" * 300_000)


def test_row_without_end_has_a_reason(convert):
    with pytest.raises(MalformedDocumentError, match="a row is longer than"):
        convert("a.csv", "a,b\n" + '"x\nx",' * 1_500_000)


def test_one_wide_row_makes_no_long_text_of_short_ones(convert):
    content = "," * 100_000 + "a\n" + "b\n" * 10_000
    assert len(convert("a.csv", content)[1]) < 10 * len(content)


def test_long_table_is_streamed(converter, tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("n,square\n" + "".join(f"{n},{n * n}\n" for n in range(20_000)))
    parts = list(converter.convert(SourceFile(path=path, name="a.csv")).parts)
    assert len(parts) > 10
    assert "".join(parts).count("\n") == 20_002
