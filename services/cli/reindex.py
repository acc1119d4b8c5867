"""`strata reindex`."""

from typing import Annotated

import typer

from services.cli import context

INTERRUPTED = 130


def reindex(
    ctx: typer.Context,
    force: Annotated[
        bool, typer.Option("--force", help="Also where nothing has changed, for example after the index was lost.")
    ] = False,
    drop_old: Annotated[
        bool,
        typer.Option(
            "--drop-old", help="Only remove what earlier reindexes replaced or left, once no process needs it any more."
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Build the index anew for a changed encoder or splitter, beside the live one, and swap at the end.

    Run it with the new configuration while everything else goes on with the old one; then restart that. The documents
    are read from their stored files. Until the end the live index stays as it is, whatever happens; a run that was cut
    off is taken up again by the next one. An embedded index belongs to one process: stop `strata serve` first.
    """
    from services.cli.progress import following
    from services.cli.render import duration, line, print_json

    with context.runtime(ctx) as runtime:
        if drop_old:
            dropped = runtime.reindexer.drop_old()
            print_json({"dropped": dropped}) if as_json else line(f"{dropped} collections dropped")
            return
        try:
            with following("Reindexing", quiet=as_json) as told:
                result = runtime.reindexer.run(told, force=force)
        except KeyboardInterrupt:
            typer.echo("Interrupted: the live index is as it was; `strata reindex` goes on from here.", err=True)
            raise typer.Exit(INTERRUPTED) from None
    if as_json:
        from dataclasses import asdict

        print_json({**asdict(result), "seconds": round(result.seconds, 3)})
    elif not result.changed:
        line("The index is as configured: nothing to do.")
    else:
        resumed = " (an earlier run had begun)" if result.resumed else ""
        line(
            f"{result.documents:,} documents with {result.passages:,} passages, {result.embedded:,} of them embedded, "
            f"in {duration(result.seconds)}{resumed}"
        )
