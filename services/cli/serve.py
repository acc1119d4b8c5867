"""`strata serve`."""

from typing import Annotated

import typer

from services.cli import context


def serve(
    ctx: typer.Context,
    host: Annotated[str | None, typer.Option("--host", help="Address to bind; see api.host.")] = None,
    port: Annotated[
        int | None, typer.Option("--port", min=0, max=65535, help="Port to bind, 0 for a free one; see api.port.")
    ] = None,
) -> None:
    """Run the REST service until interrupted."""
    from services.api import serve as run

    settings = context.settings(ctx)
    given = {key: value for key, value in {"host": host, "port": port}.items() if value is not None}
    run(settings.model_copy(update={"api": settings.api.model_copy(update=given)}))
