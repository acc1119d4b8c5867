"""Results as a Markdown table that a README can take as it is."""

from collections.abc import Sequence

from services.evaluation.figures import ALL
from services.evaluation.report.text import measures_of, pivot
from services.evaluation.result import Result, TaskResult


def markdown(results: Sequence[Result]) -> str:
    """A heading and a table a task, over all questions, with intervals; then what the figures are of."""
    return "\n".join(_task(result, task) for result in results for task in result.tasks.values())


def _task(result: Result, task: TaskResult) -> str:
    whole = task.model_copy(update={"figures": tuple(each for each in task.figures if each.group == ALL)})
    headings, rows = pivot(whole, headline=True)
    right = len(measures_of(whole, headline=True)) + 1
    lines = [
        f"### {result.set}: {task.task}",
        "",
        task.about,
        "",
        _row(headings[1:]),
        _row(["---", *["---:"] * right]),
        *(_row([row[1] if row[1] in task.baselines else f"**{row[1]}**", *row[2:]]) for row in rows),
        "",
        *(f"{note}\n" for note in task.notes),
        f"{_command(result)} · {origin(result)}",
        "",
    ]
    return "\n".join(lines)


def origin(result: Result) -> str:
    """The commit, the configuration and the seed."""
    commit = str(result.provenance.get("commit") or "no checkout")[:12]
    changed = " with changes" if result.provenance.get("dirty") else ""
    return f"commit {commit}{changed}, configuration {result.config_version}, seed {result.seed}"


def _command(result: Result) -> str:
    limit = f" --limit {result.limit}" if result.limit else ""
    return f"`strata evaluate {result.set} --split {result.split}{limit}`"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '∣') for cell in cells)} |"
