"""The figures of a task as the cells of a table."""

from collections.abc import Sequence

from services.evaluation.figures import ALL, Figure
from services.evaluation.result import Measure, TaskResult, Unit

NOTHING = "–"


def pivot(task: TaskResult, *, headline: bool = False) -> tuple[list[str], list[list[str]]]:
    """Headings and rows: group, system, and a column a measure, its interval behind it.

    Args:
        headline: Only what a reader in a hurry is to see.
    """
    measures = measures_of(task, headline=headline)
    cells = {(each.group, each.system, each.measure): each for each in task.figures}
    keys = list(dict.fromkeys((each.group, each.system) for each in task.figures))
    rows = [
        [group, system, *(cell(cells.get((group, system, measure.name)), measure.unit) for measure in measures), n]
        for group, system in keys
        if (n := f"{max(each.n for each in task.figures if (each.group, each.system) == (group, system)):,}")
    ]
    return ["group", "system", *(measure.name for measure in measures), "n"], rows


def turned(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> tuple[list[str], list[list[str]]]:
    """The same table with a line a measure: for many measures of few systems."""
    systems = [system if group == ALL else f"{group}: {system}" for group, system, *_ in rows]
    lines = zip(headings[2:], *(row[2:] for row in rows), strict=True)
    return ["measure", *systems], [list(line) for line in lines]


def measures_of(task: TaskResult, *, headline: bool = False) -> list[Measure]:
    """The measures that have figures, those that the task describes first."""
    present = dict.fromkeys(each.measure for each in task.figures)
    described = [each.name for each in task.measures if each.name in present]
    names = [*described, *(name for name in present if name not in described)]
    return [measure for name in names if (measure := task.measure(name)).headline or not headline]


def cell(figure: Figure | None, unit: Unit) -> str:
    """`.412 (.380–.441)`, or the value alone."""
    if figure is None or figure.value is None:
        return NOTHING
    value = number(figure.value, unit)
    if figure.interval is None or unit not in ("share", "number", "usd"):
        return value
    low, high = (number(bound, unit) for bound in figure.interval)
    return f"{value} ({low}–{high})"


def signed(value: float, unit: Unit) -> str:
    """A difference with its sign."""
    return f"{'+' if value >= 0 else '−'}{number(abs(value), unit)}"


def number(value: float, unit: Unit) -> str:
    """A value with the digits that its unit needs."""
    match unit:
        case "share":
            return f"{value:.3f}"
        case "ms":
            return f"{value:,.1f}" if value < 100 else f"{value:,.0f}"
        case "usd":
            return "$0" if value == 0 else f"${value:.5f}" if value < 0.01 else f"${value:.4f}"
        case "tokens" | "count":
            return f"{value:,.0f}"
        case _:
            return f"{value:,.2f}"
