"""`strata config`."""

from typing import TYPE_CHECKING, Annotated

import typer

from services.cli import context

if TYPE_CHECKING:
    from pipelines.core.models import TierStatus
    from pipelines.core.settings import Settings, StageName

app = typer.Typer(name="config", help="Check and show the configuration.", no_args_is_help=True)


@app.command()
def check(ctx: typer.Context) -> None:
    """Say which model each stage uses, what is missing, and what leaves this machine. Contacts nobody.

    Exit code: 1 when Strata would not start with it.
    """
    from pipelines.core.models import ModelTiers
    from pipelines.core.settings import STAGES
    from services.cli.privacy import departures, kept
    from services.cli.render import add_row, console, line, table

    path = context.loaded(ctx).path
    settings = context.settings(ctx)
    models = ModelTiers(settings.models, settings.model_calls)
    tiers = models.describe()
    line(f"Configuration: {path}" if path else "Configuration: the defaults (no file)")
    made = table("stage", "tier", "model", "where", "key")
    for stage in STAGES:
        add_row(made, stage, settings.stages.of(stage), *_model(stage, settings, tiers))
    console().print(made)
    _say_missing(tiers)
    models.check(settings.stages)
    leaving = departures(settings, tiers)
    for sentence in leaving:
        line(f"Leaves this machine: {sentence}", "yellow")
    if (recorded := kept(settings)) is not None:
        line(f"Kept: {recorded}", "yellow")
    if not leaving:
        line("Nothing leaves this machine: every stage, the index and the state run here.", "green")


@app.command()
def show(
    ctx: typer.Context, as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of YAML.")] = False
) -> None:
    """Print the settings in force, secrets masked."""
    import yaml

    from services.cli.render import clean, print_json
    from services.config import redacted

    values = redacted(context.settings(ctx))
    if as_json:
        print_json(values)
    else:
        typer.echo(clean(yaml.safe_dump(values, sort_keys=False, allow_unicode=True)), nl=False)


def _model(stage: "StageName", settings: "Settings", tiers: "list[TierStatus]") -> tuple[str, str, str]:
    """The model of a stage, where its requests go, and its key."""
    from pipelines.core.encoders import Encoder
    from pipelines.core.models.check import IN_PROCESS

    name = settings.stages.of(stage)
    for tier in tiers:
        if tier.name == name:
            return tier.model, tier.address, tier.key
    if name not in IN_PROCESS:
        return "unknown", "", ""
    return Encoder(settings.encoder).name if name == "encoder" else name, "in process", "not needed"


def _say_missing(tiers: "list[TierStatus]") -> None:
    from services.cli.render import line

    for tier in tiers:
        if tier.key == "missing":
            line(f"Missing: the key of `{tier.name}`; set {' or '.join(tier.missing) or '`api_key`'}.", "red")
