"""`strata ingest`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli import context

if TYPE_CHECKING:
    from collections.abc import Mapping

    from services.cli.batch import Report

INTERRUPTED = 130


def ingest(
    ctx: typer.Context,
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="PATH...", help="Files and folders. Without any, what an earlier run left is finished."),
    ] = None,
    metadata: context.Metadata = None,
    labels: context.Labels = None,
    tenant: context.Tenant = "default",
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Try files that failed before again, though they are unchanged.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Index files and folders, so that questions find them.

    The same file again changes nothing; a changed one replaces its old passages. A bad file does not stop the others.
    An interrupted run is finished by the next one.

    Exit code: 0 when every document is indexed, 1 when some failed.
    """
    from pipelines.core import access
    from services.cli.batch import Batch
    from services.cli.fields import parse_fields
    from services.cli.files import find

    settings = context.settings(ctx)
    fields = parse_fields(metadata or [], settings, "--metadata")
    found = find(paths or [], leave_out=settings.data_dir)
    with context.runtime(ctx) as runtime:
        batch = Batch(runtime, tenant=tenant, quiet=as_json)
        if not paths and retry_failed:
            batch.retry_failed()
        if not paths and not batch.waiting():
            if retry_failed:
                return
            raise typer.BadParameter("nothing is left to finish; name files or folders.", param_hint="PATH")
        try:
            batch.accept(found.files, fields, access.labels(labels or []), retry_failed=retry_failed)
            report = batch.work()
        except KeyboardInterrupt:
            left = batch.waiting()
            typer.echo(
                f"Interrupted: {left} accepted documents are left. `strata ingest` finishes them; the same command "
                "again takes the rest, and nothing that is indexed is embedded twice.",
                err=True,
            )
            raise typer.Exit(INTERRUPTED) from None
    _print_json(report, found.skipped) if as_json else print_report(report, found.skipped)
    if report.failures:
        raise typer.Exit(1)


def _print_json(report: "Report", skipped: "Mapping[str, int]") -> None:
    from dataclasses import asdict

    from services.cli.render import print_json

    print_json(
        {
            "counts": report.counts,
            "resumed": report.resumed,
            "skipped": skipped,
            "passages": report.passages,
            "embedded": report.embedded,
            "seconds": round(report.seconds, 3),
            "failures": [asdict(failure) for failure in report.failures],
        }
    )


def print_report(report: "Report", skipped: "Mapping[str, int]") -> None:
    """The counts, then each failure with its reason."""
    from services.cli.render import add_row, console, duration, line, place, table

    counts = table("documents", "", right=("documents",))
    for status, number in sorted(report.counts.items()):
        add_row(counts, number, status, style="red" if status == "failed" else "")
    if report.resumed:
        add_row(counts, report.resumed, "finished from an earlier run")
    for reason, number in sorted(skipped.items()):
        add_row(counts, number, f"skipped: {reason}", style="dim")
    if counts.row_count:
        console().print(counts)
    line(f"{report.passages:,} passages, {report.embedded:,} of them embedded now, in {duration(report.seconds)}")
    if report.failures:
        failures = table("failed", "reason")
        for failure in sorted(report.failures, key=lambda failure: failure.source):
            add_row(failures, place(failure.source), failure.detail)
        line("")
        console().print(failures)
