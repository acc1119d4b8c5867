from services.evaluation.report.markdown import markdown
from services.evaluation.report.text import number, pivot, signed, turned
from tests.unit.services.evaluation.samples import result, task

TASK = task(
    {"base|line": [(0.0, 0.01), (1.0, 0.01)], "strata": [(1.0, 0.001), (None, 0.001)]}, baselines=("base|line",)
)


def test_a_row_a_system_and_a_column_a_measure() -> None:
    headings, rows = pivot(TASK)
    assert headings == ["group", "system", "right", "cost", "n"]
    assert rows[0][:2] == ["all", "base|line"]
    assert rows[0][2].startswith("0.500 (0.000–1.000)")
    assert rows[1][2].startswith("1.000")
    assert rows[1][3].startswith("$0.00100")


def test_a_turned_table_has_a_column_a_system() -> None:
    headings, rows = turned(*pivot(TASK))
    assert headings == ["measure", "base|line", "strata"]
    assert [row[0] for row in rows] == ["right", "cost", "n"]
    assert rows[0][1].startswith("0.500")


def test_markdown_has_as_many_cells_in_every_row() -> None:
    text = markdown([result(TASK)])
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in table} == {5}
    assert "**strata**" in text
    assert "`strata evaluate nq_gold --split dev` · commit 0123456789ab, configuration abc, seed 7" in text


def test_digits_follow_the_unit() -> None:
    assert number(0.5, "share") == "0.500"
    assert number(1234.5, "tokens") == "1,234"
    assert number(12.34, "ms") == "12.3"
    assert number(0.0, "usd") == "$0"
    assert signed(-0.25, "share") == "−0.250"
