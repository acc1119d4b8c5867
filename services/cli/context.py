"""The global options, and what commands build from them."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pipelines.core.settings import Settings
    from services.config import LoadedConfig
    from services.runtime import Runtime


def _tenant(name: str) -> str:
    from pipelines.core.access import check_tenant

    return check_tenant(name)


Tenant = Annotated[str, typer.Option("--tenant", callback=_tenant, help="Whose documents these are.")]
Metadata = Annotated[
    list[str] | None,
    typer.Option("--metadata", "-m", metavar="KEY=VALUE", help="A field to filter by; can be given several times."),
]
Labels = Annotated[
    list[str] | None,
    typer.Option("--label", help="An access label; only keys that hold one of them see the documents. Repeatable."),
]


@dataclass(frozen=True, slots=True)
class GlobalOptions:
    """What stands before the command."""

    config: Path | None = None
    data_dir: Path | None = None
    verbose: bool = False


def options(ctx: typer.Context) -> GlobalOptions:
    """The global options of this call."""
    return ctx.find_object(GlobalOptions) or GlobalOptions()


def loaded(ctx: typer.Context) -> "LoadedConfig":
    """The configuration as it was loaded, without `--data-dir`.

    Raises:
        ConfigurationError: see `services.config.load`.
    """
    from services.config import load

    return load(options(ctx).config)


def settings(ctx: typer.Context) -> "Settings":
    """The settings in force: the configuration, and what the command line sets.

    Raises:
        ConfigurationError: see `services.config.load`.
    """
    found = loaded(ctx).settings
    data_dir = options(ctx).data_dir
    return found if data_dir is None else found.model_copy(update={"data_dir": data_dir})


def runtime(ctx: typer.Context) -> "Runtime":
    """The parts, built when they are needed; close it.

    Raises:
        ConfigurationError: the settings cannot work.
    """
    from services.runtime import Runtime

    return Runtime(settings(ctx))


def installed_version(package: str) -> str | None:
    """The version of an installed package; `None` when it is not installed."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return None
