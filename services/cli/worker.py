"""`strata worker`."""

from typing import Annotated

import typer

from pipelines.core.roles import ROLES
from services.cli import context


def _known(names: list[str]) -> list[str]:
    for name in names:
        if name not in ROLES:
            raise typer.BadParameter(f"{name!r} is not one of {', '.join(ROLES)}.")
    return names


def worker(
    ctx: typer.Context,
    roles: Annotated[
        list[str], typer.Argument(metavar="ROLE...", help="What it does.", show_default=False, callback=_known)
    ],
) -> None:
    """Run a worker until interrupted.

    Roles: `plan`, `prune` and `cite` run the small stages of questions, `ingest` indexes documents, `answers` answers
    batches of questions, `sync` synchronises sources. Needs `queue.url`. The first SIGTERM ends it once what runs is
    done, a second one at once.
    """
    from services.worker import run

    run(context.settings(ctx), [role for role in ROLES if role in roles])
