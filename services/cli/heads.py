"""`strata heads`."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from services.cli import context

if TYPE_CHECKING:
    from pipelines.core.state import HeadVersion

app = typer.Typer(name="heads", help="Versions of the heads: see, accept, roll back.", no_args_is_help=True)

Name = Annotated[Literal["resolve", "evidence", "support", "sufficiency"], typer.Argument(metavar="HEAD")]
Version = Annotated[str, typer.Argument(metavar="VERSION")]
AsJson = Annotated[bool, typer.Option("--json", help="Print as JSON.")]


@app.command(name="list")
def list_heads(ctx: typer.Context, as_json: AsJson = False) -> None:
    """List all versions, and which one of each head is live."""
    from pipelines.core.encoders.spec import HEADS
    from services.cli.render import add_row, console, print_json, table
    from services.heads.live import live_heads
    from services.heads.versions import shipped

    with context.runtime(ctx) as runtime:
        versions = runtime.head_versions.versions()
        live = {(each.name, each.source): each.version for each in live_heads(runtime.settings.heads, versions)}
        choices = runtime.settings.heads
    if as_json:
        print_json([_plain(version) for version in versions])
        return
    made = table("head", "version", "status", "better by", "trained from", "made")
    for name in HEADS:
        own = [version for version in versions if version.name == name]
        comes = shipped(name)
        status = "off" if getattr(choices, name) == "off" else "live" if (name, "builtin") in live else "-"
        add_row(made, name, comes[0].version if comes else "none", f"{status}, comes with Strata", "", "", "")
        for version in own:
            status = f"{version.status}, live" if live.get((name, "own")) == version.version else str(version.status)
            better, at = _better(version), f"{version.created_at:%Y-%m-%d %H:%M}"
            add_row(made, name, version.version, status, better, version.parent or "", at)
    console().print(made)


@app.command()
def show(ctx: typer.Context, name: Name, version: Version, as_json: AsJson = False) -> None:
    """Show a version and the figures that it was judged by."""
    from services.cli.render import console, line, print_json

    with context.runtime(ctx) as runtime:
        found = runtime.head_versions.get(name, version)
    if as_json:
        print_json(_plain(found))
        return
    line(f"{found.name} {found.version}: {found.status}, {found.size_bytes:,} bytes, SHA-256 {found.sha256}")
    console().print_json(data=dict(found.figures))


@app.command()
def accept(ctx: typer.Context, name: Name, version: Version) -> None:
    """Make a version live, whatever its figures say. Running processes take it up within `heads.poll_s`."""
    with context.runtime(ctx) as runtime:
        found = runtime.head_versions.get(name, version)
        runtime.head_store.folder(found)  # it can be fetched, and is what was stored
        runtime.head_versions.accept(name, version)
    typer.echo(f"{name} {version} is live.")


@app.command()
def rollback(ctx: typer.Context, name: Name) -> None:
    """Put back the version that was live before. Running processes take it up within `heads.poll_s`."""
    with context.runtime(ctx) as runtime:
        found = runtime.head_versions.roll_back(name)
    typer.echo(f"{name} {found.version if found else 'as it comes with Strata'} is live.")


def _better(version: "HeadVersion") -> str:
    paired = version.figures.get("paired")
    if not isinstance(paired, dict):
        return ""
    low, high = paired["interval"]
    return f"{paired['difference']:+.4f} ({low:+.4f} to {high:+.4f})"


def _plain(version: "HeadVersion") -> dict[str, object]:
    from dataclasses import asdict

    return asdict(version)
