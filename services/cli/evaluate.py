"""`strata evaluate`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli import context
from services.cli.report import Html, Markdown, check_writable, write_reports

if TYPE_CHECKING:
    from services.evaluation.result import Result, TaskResult


WIDE = 9
"""Columns beyond which a table of few systems is turned."""


def evaluate(
    ctx: typer.Context,
    set_: Annotated[str, typer.Argument(metavar="SET", help="Such as nq_gold or mtrag.", show_default=False)],
    data: Annotated[
        Path, typer.Option("--data", metavar="DIR", help="The folder that holds the sets.", show_default=False)
    ],
    split: Annotated[
        str, typer.Option("--split", metavar="NAME", help="Folder with the questions.", show_default=False)
    ],
    limit: Annotated[
        int | None,
        typer.Option("--limit", min=1, help="Only the first questions. Without it as many as each task takes."),
    ] = None,
    task: Annotated[
        str | None, typer.Option("--task", metavar="NAME", help="Only this one of the set's tasks.")
    ] = None,
    work_dir: Annotated[
        Path | None,
        typer.Option(
            "--work-dir",
            metavar="DIR",
            help="Where indexes are kept between runs [default: evaluation/ in the data folder].",
        ),
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the result, with its provenance.")
    ] = None,
    html: Html = None,
    markdown: Markdown = None,
) -> None:
    """Measure the stages on a set, beside baselines from the same run."""
    from services.cli.progress import progress
    from services.evaluation.run import Request, evaluate

    check_writable({"--json": json_file, "--html": html, "--markdown": markdown})
    request = Request(set_, data, split, limit=limit, work_dir=work_dir, task=task)
    result = evaluate(request, context.settings(ctx), progress)
    if json_file:
        json_file.write_text(result.model_dump_json(indent=1) + "\n", encoding="utf-8")
    write_reports([result], html, markdown)
    show(result)


def show(result: "Result") -> None:
    """Writes the tables of a result to the terminal."""
    from services.cli.render import console, line

    commit = result.provenance["commit"] or "no checkout"
    dirty = " with changes" if result.provenance["dirty"] else ""
    index = f"{result.index.documents:,} documents, {result.index.passages:,} passages · " if result.index else ""
    line(
        f"{result.set} · {result.split} · {index}"
        f"configuration {result.config_version} · commit {commit[:12]}{dirty} · seed {result.seed}",
        "bold",
    )
    if result.index and result.index.rejected:
        line(f"{len(result.index.rejected)} documents could not be indexed; nothing finds them.", "yellow")
    for task in result.tasks.values():
        console().print()
        _show_task(task)


def _show_task(task: "TaskResult") -> None:
    from services.cli.render import add_row, console, line, table
    from services.evaluation.report.text import pivot, turned

    line(f"{task.task}: {task.about}", "bold")
    headings, rows = pivot(task)
    left = 2
    if len(headings) > WIDE and len(rows) < len(headings):
        headings, rows = turned(headings, rows)
        left = 1
    made = table(*headings, right=headings[left:])
    for row in rows:
        add_row(made, *row)
    console().print(made)
    for note in task.notes:
        line(note, "yellow")
