"""`strata train`."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from services.cli import context

if TYPE_CHECKING:
    from pipelines.core.encoders.spec import HeadName
    from services.training.traffic.improve import Improved

EPOCHS, RATE = 3.0, 2e-4
"""For traffic: the head to start from knows its job already."""


def train(
    ctx: typer.Context,
    head: Annotated[
        Literal["resolve", "evidence", "support", "sufficiency"], typer.Argument(metavar="HEAD", help="Which head.")
    ],
    traces: Annotated[
        Path | None,
        typer.Option("--traces", metavar="FILE", help="Your traffic: examples of `strata traces export --head HEAD`."),
    ] = None,
    data: Annotated[
        Path | None, typer.Option("--data", metavar="DIR", help="Public sets: makes the head that comes with Strata.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FOLDER", help="With --data: where the head is written.")
    ] = None,
    start: Annotated[
        Path | None, typer.Option("--start", metavar="FOLDER", help="With --data: a head to go on from.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="With --traces: accept the head whatever its figures say.")
    ] = False,
    epochs: Annotated[
        float | None, typer.Option("--epochs", min=0.1, max=100, help="How often each example is seen.")
    ] = None,
    rate: Annotated[
        float | None, typer.Option("--rate", min=1e-7, max=1e-2, help="Learning rate of the adapter.")
    ] = None,
    max_minutes: Annotated[float, typer.Option("--max-minutes", min=0.01, help="Training ends after so long.")] = 120.0,
    seed: Annotated[int, typer.Option("--seed", help="Order of the examples.")] = 7,
    as_json: Annotated[bool, typer.Option("--json", help="Print the version and its figures as JSON.")] = False,
) -> None:
    """Train a head on your own traffic, from the one that is live; or make it from public sets.

    Some questions of the traffic are held out: both heads are judged on them, and the new one is accepted, and live in
    all processes within `heads.poll_s`, only if the 95 % interval of the difference is above zero. Exit code 1: it was
    not accepted.
    """
    given = {"epochs": epochs, "rate": rate}
    changed = {name: value for name, value in given.items() if value is not None}
    changed |= {"max_s": 60 * max_minutes, "seed": seed}
    if traces is not None and (data, out, start) == (None, None, None):
        _show(_from_traffic(ctx, head, traces, {"epochs": EPOCHS, "rate": RATE, **changed}, force=force), as_json)
    elif data is not None and out is not None and traces is None and not force:
        _from_sets(head, data, out, start, changed)
    else:
        raise typer.BadParameter("give --traces FILE, or --data DIR and --out FOLDER.", param_hint="--traces")


def _from_traffic(
    ctx: typer.Context, head: "HeadName", traces: Path, changed: Mapping[str, float], *, force: bool
) -> "Improved":
    from services.training.examples import read_examples
    from services.training.network.loop import TrainOptions
    from services.training.traffic.improve import Improving

    examples = read_examples(traces)
    options = TrainOptions(**changed)  # type: ignore[arg-type]  # the seed is whole
    with context.runtime(ctx) as runtime:
        improving = Improving(runtime.settings.encoder, runtime.head_versions, runtime.head_store, _tell)
        return improving.run(head, examples, options, force=force)


def _from_sets(head: "HeadName", data: Path, out: Path, start: Path | None, changed: Mapping[str, float]) -> None:
    from services.training.heads import options_of, train_head

    spec = train_head(head, data, out, options_of(head, **changed), start=start, log=_tell)
    typer.echo(f"{spec.name} {spec.version} is in {out}.")


def _show(improved: "Improved", as_json: bool) -> None:
    from services.cli.render import line, print_json
    from services.training.traffic.acceptance import table

    version, verdict = improved.version, improved.verdict
    if version is None or verdict is None:
        line("No state of the run was better than the live head by the questions to choose by: nothing is stored.")
        raise typer.Exit(1)
    if as_json:
        print_json({"name": version.name, "version": version.version, "status": version.status, **version.figures})
    else:
        for name, value in table(verdict).items():
            line(f"{name:<24}{value}")
        forced = ", by force" if version.figures["forced"] else ""
        line(f"{version.name} {version.version} is {version.status}{forced}.")
    if version.status != "accepted":
        raise typer.Exit(1)


def _tell(said: str) -> None:
    typer.echo(said, err=True)
