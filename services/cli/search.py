"""`strata search`."""

from typing import Annotated

import typer

from services.cli import context

SNIPPET_CHARS = 300


def search(
    ctx: typer.Context,
    query: Annotated[
        str, typer.Argument(metavar="QUERY", help="Words to find; nothing is rewritten.", show_default=False)
    ],
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=500, help="Most passages.")] = 10,
    filters: Annotated[
        list[str] | None,
        typer.Option("--filter", "-f", metavar="KEY=VALUE", help="Only documents with this metadata; repeatable."),
    ] = None,
    tenant: context.Tenant = "default",
    as_json: Annotated[bool, typer.Option("--json", help="Print the passages as JSON.")] = False,
) -> None:
    """Find passages, best first, by meaning and by words."""
    from pipelines.core.types import Filter
    from services.cli.fields import parse_fields
    from services.cli.render import console, line, one_line, place, print_json, where

    settings = context.settings(ctx)
    filter_ = Filter(tenant=tenant, metadata=parse_fields(filters or [], settings, "--filter"))
    with context.runtime(ctx) as runtime:
        hits = runtime.search(query, limit=limit, filter=filter_)
    if as_json:
        print_json([hit.model_dump(mode="json") for hit in hits])
        return
    if not hits:
        line("Nothing was found.", stderr=True)
    for rank, hit in enumerate(hits, 1):
        passage = hit.passage
        text = one_line(passage.text)
        line(f"{rank}. {where(passage.title, passage.section_path, passage.page)}  ({hit.score:.4f})", "cyan")
        line("   " + (text if len(text) <= SNIPPET_CHARS else text[:SNIPPET_CHARS].rsplit(" ", 1)[0] + " …"))
        line(f"   {place(passage.source)}", "dim")
        if rank < len(hits):
            console().print()
