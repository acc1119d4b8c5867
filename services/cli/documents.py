"""`strata documents`."""

from typing import TYPE_CHECKING, Annotated

import typer

from services.cli import context

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipelines.core.state import Document, Ledger

_TENANT = "strata.tenant"

app = typer.Typer(name="documents", help="List, show, delete and retry documents.", invoke_without_command=True)


@app.callback()
def documents(
    ctx: typer.Context,
    tenant: context.Tenant = "default",
    status: Annotated[
        str | None,
        typer.Option("--status", help="Only these: queued, running, indexed, failed or deleting."),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="Most documents.")] = 1000,
    as_json: Annotated[bool, typer.Option("--json", help="Print the documents as JSON.")] = False,
) -> None:
    """List documents, oldest first."""
    ctx.meta[_TENANT] = tenant
    if ctx.invoked_subcommand:
        return
    from itertools import islice

    from services.cli.render import add_row, console, line, place, print_json, table

    with context.runtime(ctx) as runtime:
        found = list(islice(_all(runtime.ledger, tenant, status), limit + 1))
    shown, more = found[:limit], len(found) > limit
    if as_json:
        print_json([_plain(document) for document in shown])
        return
    made = table("id", "status", "passages", "title", "source", right=("passages",))
    for document in shown:
        style = "red" if document.status == "failed" else ""
        title = document.title or document.name
        add_row(made, document.id, document.status, document.passages, title, place(document.source), style=style)
    if shown:
        console().print(made)
    line(f"The first {limit:,} documents; --limit shows more." if more else f"{len(shown):,} documents", stderr=True)


@app.command()
def show(
    ctx: typer.Context,
    document_id: Annotated[str, typer.Argument(metavar="ID")],
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Show all that is known of a document."""
    from services.cli.render import add_row, console, print_json, table

    with context.runtime(ctx) as runtime:
        found = _plain(runtime.ledger.document(document_id, ctx.meta[_TENANT]))
    if as_json:
        print_json(found)
        return
    made = table("field", "value")
    for name, value in found.items():
        if value not in (None, {}):
            add_row(made, name.replace("_", " "), value)
    console().print(made)


@app.command()
def delete(ctx: typer.Context, ids: Annotated[list[str], typer.Argument(metavar="ID...")]) -> None:
    """Delete documents, whatever their state."""
    from pipelines.core.errors import ConflictError

    tenant = ctx.meta[_TENANT]
    with context.runtime(ctx) as runtime:
        for document_id in ids:  # all are known before the first is deleted
            runtime.ledger.document(document_id, tenant)
        for document_id in ids:
            runtime.ledger.delete_document(document_id, tenant)
        try:
            gone = runtime.ingestion.delete_marked()
        except ConflictError:
            typer.echo("Marked for deletion; the process that holds the index removes them.")
            return
    typer.echo(f"{gone:,} documents deleted.")


@app.command()
def retry(ctx: typer.Context) -> None:
    """Try all failed documents again."""
    from services.cli.batch import Batch
    from services.cli.ingest import print_report

    with context.runtime(ctx) as runtime:
        batch = Batch(runtime, tenant=ctx.meta[_TENANT])
        if not batch.retry_failed():
            typer.echo("No document has failed.")
            return
        report = batch.work()
    print_report(report, {})
    if report.failures:
        raise typer.Exit(1)


def _all(ledger: "Ledger", tenant: str, status: str | None) -> "Iterator[Document]":
    from pipelines.core.state import DocumentStatus

    try:
        wanted = DocumentStatus(status) if status else None
    except ValueError:
        names = ", ".join(DocumentStatus)
        raise typer.BadParameter(f"{status!r} is none of {names}.", param_hint="--status") from None
    cursor: str | None = None
    while True:
        page = ledger.documents(tenant, status=wanted, limit=500, cursor=cursor)
        yield from page.items
        if (cursor := page.next_cursor) is None:
            return


def _plain(document: "Document") -> dict[str, object]:
    from dataclasses import asdict

    return asdict(document)
