"""`strata keys`."""

import re
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli import context

if TYPE_CHECKING:
    from datetime import datetime

    from pipelines.core.state import ApiKey

app = typer.Typer(name="keys", help="Make, list and revoke API keys.", no_args_is_help=True)

_PERIOD = re.compile(r"([0-9]{1,5})([mhd])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


@app.command()
def create(
    ctx: typer.Context,
    name: Annotated[str, typer.Option("--name", help="To tell the key from others.")],
    scopes: Annotated[
        list[str],
        typer.Option(
            "--scope",
            help="`ask`: ask, search, read documents; `ingest`: submit and delete documents; `admin`: all, keys too. "
            "Repeatable.",
        ),
    ],
    tenant: Annotated[str, typer.Option("--tenant", help="Whose documents it is for.")] = "default",
    labels: Annotated[
        list[str] | None,
        typer.Option("--label", help="An access label that it holds; repeatable. Without any it holds every one."),
    ] = None,
    no_labels: Annotated[
        bool, typer.Option("--no-labels", help="It holds no access label: it sees only documents without.")
    ] = False,
    rate: Annotated[
        int | None, typer.Option("--rate", min=1, help="Requests a minute; without it api.rate_per_minute.")
    ] = None,
    expires: Annotated[
        str | None,
        typer.Option("--expires", metavar="WHEN", help="After 30m, 12h or 90d, or on a date such as 2030-01-31."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print key and secret as JSON.")] = False,
) -> None:
    """Make a key. Its secret goes to standard output, this once; Strata keeps only a hash of it."""
    from services.cli.render import line, print_json

    if labels and no_labels:
        raise typer.BadParameter("give --label or --no-labels, not both.", param_hint="--no-labels")
    with context.runtime(ctx) as runtime:
        key, secret = runtime.keys.create(
            tenant,
            name,
            scopes,  # type: ignore[arg-type]  # checked there
            labels=labels or ([] if no_labels else None),
            rate_per_minute=rate,
            expires_at=_time(expires) if expires else None,
        )
    if as_json:
        print_json({**_plain(key), "secret": secret})
        return
    typer.echo(secret)
    line(f"Key {key.id} of tenant {key.tenant}: {', '.join(key.scopes)}. It is not shown again.", stderr=True)


@app.command(name="list")
def list_keys(
    ctx: typer.Context,
    tenant: Annotated[str | None, typer.Option("--tenant", help="Only this tenant's keys.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the keys as JSON.")] = False,
) -> None:
    """List keys, oldest first, revoked ones too. Secrets are not kept, so none is shown."""
    from services.cli.render import add_row, console, line, print_json, table

    with context.runtime(ctx) as runtime:
        found = runtime.keys.list(tenant)
    if as_json:
        print_json([_plain(key) for key in found])
        return
    made = table("id", "tenant", "name", "scopes", "labels", "a minute", "used", "ends", right=("a minute",))
    for key in found:
        labels = "every" if key.labels is None else " ".join(key.labels) or "none"
        used = f"{key.used_at:%Y-%m-%d %H:%M}" if key.used_at else "never"
        style = "dim" if key.revoked_at else ""
        cells = (key.id, key.tenant, key.name, " ".join(key.scopes), labels, key.rate_per_minute or "", used, _end(key))
        add_row(made, *cells, style=style)
    if found:
        console().print(made)
    line(f"{len(found):,} keys", stderr=True)


@app.command()
def revoke(ctx: typer.Context, ids: Annotated[list[str], typer.Argument(metavar="ID...")]) -> None:
    """Revoke keys. Running processes refuse them within five seconds."""
    with context.runtime(ctx) as runtime:
        for key_id in ids:  # all are known before the first is revoked
            runtime.keys.get(key_id)
        for key_id in ids:
            key = runtime.keys.revoke(key_id)
            typer.echo(f"Revoked {key.id} ({key.name}) of tenant {key.tenant}.")


def _time(text: str) -> "datetime":
    from datetime import UTC, datetime, timedelta

    if period := _PERIOD.fullmatch(text):
        return datetime.now(UTC) + timedelta(**{_UNITS[period[2]]: int(period[1])})
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is neither a period nor a date.", param_hint="--expires") from None
    return found if found.tzinfo else found.astimezone()


def _end(key: "ApiKey") -> str:
    if key.revoked_at:
        return "revoked"
    return f"{key.expires_at:%Y-%m-%d %H:%M}" if key.expires_at else "never"


def _plain(key: "ApiKey") -> dict[str, object]:
    from dataclasses import asdict

    return asdict(key)
