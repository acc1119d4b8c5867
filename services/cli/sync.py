"""`strata sync`."""

import threading
import time
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli import context
from services.cli.ingest import INTERRUPTED

if TYPE_CHECKING:
    from pipelines.core.state import Source
    from services.cli.batch import Batch, Report
    from services.runtime import Runtime

POLL_S = 1.0
HOLD_S = 60.0
"""So long a worker leaves the source to this command, whose machine may be the only one that has the folder."""


def sync(
    ctx: typer.Context,
    url: Annotated[
        str, typer.Argument(metavar="URL", help="A folder (`file:///srv/docs`) or a bucket (`s3://bucket/manuals`).")
    ],
    metadata: context.Metadata = None,
    labels: context.Labels = None,
    tenant: context.Tenant = "default",
    delete: Annotated[
        bool, typer.Option("--delete/--keep-deleted", help="Delete documents whose files are gone, or keep them.")
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Index what is new or changed in a folder or bucket since the last time, and forget what is gone.

    Hidden files and endings that no converter reads are left out. Credentials come from `ingest.source_options` or, for
    S3, from where its tools keep them. An interrupted run is finished by the next one.

    Exit code: 0 when every document is indexed, 1 when some failed or the source could not be read.
    """
    from pipelines.core import access
    from services.cli.batch import Batch
    from services.cli.fields import parse_fields
    from services.cli.ingest import print_report
    from services.documents.locations import parse

    fields = parse_fields(metadata or [], context.settings(ctx), "--metadata")
    location = parse(url)
    with context.runtime(ctx) as runtime:
        source = runtime.sources.add(
            tenant,
            location.url,
            metadata=fields,
            document_labels=access.labels(labels or []),
            keep_deleted=not delete,
            hold_s=HOLD_S,
        )
        batch = Batch(runtime, tenant=tenant, quiet=as_json)
        try:
            source, report = _work(runtime, source, batch)
        except KeyboardInterrupt:
            typer.echo("Interrupted: the same command goes on; nothing that is indexed is embedded twice.", err=True)
            raise typer.Exit(INTERRUPTED) from None
    if as_json:
        _print_json(source, report)
    else:
        _print(source)
        print_report(report, {})
    if report.failures or source.error_code:
        raise typer.Exit(1)


def _work(runtime: "Runtime", source: "Source", batch: "Batch") -> "tuple[Source, Report]":
    """Looks, again where the first try fails, and indexes what was found; a full queue makes the look wait for that."""
    assert source.job_id is not None
    batch.follow(source.job_id)
    while True:
        runtime.syncs.one(threading.Event(), source.id)
        source = runtime.sources.get(source.id, source.tenant)
        if source.finished:
            return source, batch.work()
        runtime.ingestion.work()
        time.sleep(POLL_S)  # a try that failed, or a worker that took it


def _print(source: "Source") -> None:
    from services.cli.render import line

    line(
        f"{source.listed:,} files: {source.added:,} new, {source.changed:,} changed, {source.deleted:,} deleted, "
        f"{source.unchanged:,} unchanged"
    )
    if source.error_detail:
        line(source.error_detail, "red")


def _print_json(source: "Source", report: "Report") -> None:
    from dataclasses import asdict

    from services.cli.render import print_json

    figures = {name: getattr(source, name) for name in ("listed", "added", "changed", "deleted", "unchanged")}
    print_json(
        {
            "id": source.id,
            "url": source.url,
            "status": source.status,
            "error": source.error_detail,
            "files": figures,
            "counts": report.counts,
            "passages": report.passages,
            "seconds": round(report.seconds, 3),
            "failures": [asdict(failure) for failure in report.failures],
        }
    )
