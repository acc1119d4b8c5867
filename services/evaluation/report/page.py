"""Results as one page that needs nothing else: style and plots stand in it, and no script."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files

from jinja2 import Environment, PackageLoader
from markupsafe import Markup

from services.evaluation.figures import ALL, Figure
from services.evaluation.report.markdown import origin
from services.evaluation.report.svg import draw
from services.evaluation.report.text import NOTHING, measures_of, number, signed
from services.evaluation.result import Measure, Plot, Result, TaskResult


@dataclass(frozen=True, slots=True)
class Cell:
    """A figure as the page shows it.

    Attributes:
        low, value, high: Places on a track of 0 to 100; `None` where the unit has no ends.
        delta, against: The paired difference, and to which baseline.
        verdict: `better` or `worse` than it where the interval of the difference leaves out 0.
    """

    text: str
    interval: str = ""
    low: float | None = None
    value: float | None = None
    high: float | None = None
    best: bool = False
    delta: str = ""
    against: str = ""
    verdict: str = ""


@dataclass(frozen=True, slots=True)
class TableRow:
    """One system.

    Attributes:
        own: Whether it is the product and no baseline.
        against: The baseline of most of its differences.
    """

    system: str
    own: bool
    cells: tuple[Cell, ...]
    n: int
    against: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """One group of questions."""

    group: str
    headings: tuple[str, ...]
    rows: tuple[TableRow, ...]


@dataclass(frozen=True, slots=True)
class Tile:
    """The figure that a task is read by first."""

    task: str
    measure: str
    system: str
    cell: Cell


@dataclass(frozen=True, slots=True)
class Drawing:
    """A plot and the names of its curves, the product's own first."""

    title: str
    svg: Markup
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Section:
    """One task of one result: the table that is read first, plots, then everything."""

    task: TaskResult
    tile: Tile | None
    headline: Table
    drawings: tuple[Drawing, ...]
    details: tuple[Table, ...]


def page(results: Sequence[Result]) -> str:
    """The whole page as HTML."""
    environment = Environment(
        loader=PackageLoader("services.evaluation.report", "."), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    style = files("services.evaluation.report").joinpath("page.css").read_text(encoding="utf-8")
    parts = [(result, origin(result), [_section(task) for task in result.tasks.values()]) for result in results]
    return environment.get_template("page.html.j2").render(parts=parts, style=Markup(style))  # noqa: S704  # our own


def _section(task: TaskResult) -> Section:
    groups = list(dict.fromkeys(each.group for each in task.figures))
    first = ALL if ALL in groups else next(iter(groups), ALL)
    headline, everything = measures_of(task, headline=True), measures_of(task)
    more = [group for group in groups if group != first or len(everything) > len(headline)]
    table = _table(task, first, headline)
    return Section(
        task=task,
        tile=_tile(task, table),
        headline=table,
        drawings=tuple(_drawing(plot, task.baselines) for plot in task.plots if plot.series),
        details=tuple(_table(task, group, everything) for group in more),
    )


def _tile(task: TaskResult, table: Table) -> Tile | None:
    """The first figure of the product that has a baseline, else the first that it has."""
    found = [
        Tile(task.task, measure, row.system, cell)
        for row in table.rows
        for measure, cell in zip(table.headings, row.cells, strict=True)
        if row.own and cell.text != NOTHING
    ]
    return next((tile for tile in found if tile.cell.delta), found[0] if found else None)


def _drawing(plot: Plot, baselines: Collection[str]) -> Drawing:
    ordered = plot.model_copy(
        update={"series": tuple(sorted(plot.series, key=lambda series: series.name in baselines))}
    )
    svg = Markup(draw(ordered))  # noqa: S704  # its texts are escaped
    return Drawing(plot.title, svg, tuple(series.name for series in ordered.series))


def _table(task: TaskResult, group: str, measures: Sequence[Measure]) -> Table:
    figures = {(each.system, each.measure): each for each in task.figures if each.group == group}
    systems = sorted(dict.fromkeys(system for system, _ in figures), key=lambda system: system in task.baselines)
    shown = [each for each in measures if any((system, each.name) in figures for system in systems)]
    best = {
        measure.name: _best(measure, [figures.get((system, measure.name)) for system in systems]) for measure in shown
    }
    rows = []
    for system in systems:
        own, of_system = system not in task.baselines, [figures.get((system, measure.name)) for measure in shown]
        cells = [_cell(each, measure, best[measure.name]) for each, measure in zip(of_system, shown, strict=True)]
        if not own:  # how baselines differ among themselves is nobody's question
            cells = [replace(cell, delta="", against="", verdict="") for cell in cells]
        against = Counter(cell.against for cell in cells if cell.against).most_common(1)
        rows.append(
            TableRow(
                system,
                own,
                tuple(cells),
                max((each.n for each in of_system if each), default=0),
                against[0][0] if against else "",
            )
        )
    return Table(group, tuple(measure.name for measure in shown), tuple(rows))


def _best(measure: Measure, figures: Sequence[Figure | None]) -> float | None:
    values = [each.value for each in figures if each is not None and each.value is not None]
    if len(values) < 2 or not measure.better or min(values) == max(values):
        return None
    return max(values) if measure.better == "higher" else min(values)


def _cell(figure: Figure | None, measure: Measure, best: float | None) -> Cell:
    if figure is None or figure.value is None:
        return Cell(NOTHING)
    unit, value = measure.unit, figure.value
    interval, low, high = "", None, None
    if figure.interval and unit in ("share", "number", "usd"):
        interval = "–".join(number(bound, unit) for bound in figure.interval)
        low, high = (100 * bound for bound in figure.interval)
    track = unit == "share" and low is not None
    return Cell(
        text=number(value, unit),
        interval=interval,
        low=low if track else None,
        value=100 * value if track else None,
        high=high if track else None,
        best=value == best,
        delta=signed(figure.paired.difference, unit) if figure.paired and measure.better else "",
        against=figure.against if figure.paired and measure.better else "",
        verdict=_verdict(figure, measure),
    )


def _verdict(figure: Figure, measure: Measure) -> str:
    if figure.paired is None or not measure.better:
        return ""
    low, high = figure.paired.interval
    if low <= 0 <= high:
        return ""
    return "better" if (low > 0) == (measure.better == "higher") else "worse"
