"""`strata migrate`."""

import typer

from services.cli import context


def migrate(ctx: typer.Context) -> None:
    """Bring the state database to the newest schema. Safe to run again, and beside running processes."""
    with context.runtime(ctx) as runtime:
        _ = runtime.database  # opening it upgrades it
    typer.echo("The database has the newest schema.", err=True)
