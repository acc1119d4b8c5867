"""`strata answers`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli import context

if TYPE_CHECKING:
    from services.cli.answering import Summary

INTERRUPTED = 130


def answers(
    ctx: typer.Context,
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="JSON lines: each an object with `question`, and if you like `custom_id`, `history`, `filter`, "
            "`limits`, `explain`.",
            exists=True,
            dir_okay=False,
            readable=True,
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", metavar="FILE", help="Where results go, one a line. Without it: standard output."),
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Ask anew, though the same file was asked before.")] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="First try the questions again that failed before.")
    ] = False,
) -> None:
    """Answer a file of questions.

    The questions are kept first. The same file again goes on where an interrupted run stopped: what is answered is not
    answered again, and the file of results is continued behind its last line.

    Exit code: 0 when every question was answered, 1 when some failed.
    """
    from services.cli.answering import Answering

    if again and out is not None and out.exists() and out.stat().st_size:
        raise typer.BadParameter("has results already; name another file.", param_hint="--out")
    with context.runtime(ctx) as runtime, Answering(runtime, file, out) as batch:
        batch.accept(again=again, retry_failed=retry_failed)
        try:
            summary = batch.work()
        except KeyboardInterrupt:
            typer.echo("Interrupted: the same command again goes on from here.", err=True)
            raise typer.Exit(INTERRUPTED) from None
    _print(summary)
    if summary.failed:
        raise typer.Exit(1)


def _print(summary: "Summary") -> None:
    from services.cli.render import duration, line

    failed = f", {summary.failed:,} failed" if summary.failed else ""
    line(
        f"{summary.answered:,} of {summary.total:,} questions answered{failed}, in {duration(summary.seconds)}",
        stderr=True,
    )
