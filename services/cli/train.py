"""`strata train`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from services.cli import context


def train(
    ctx: typer.Context,
    head: Annotated[
        Literal["resolve", "evidence", "support", "sufficiency"], typer.Argument(metavar="HEAD", help="Which head.")
    ],
    traces: Annotated[
        Path, typer.Option("--traces", metavar="FILE", help="Examples of `strata traces export --head HEAD`.")
    ],
    force: Annotated[bool, typer.Option("--force", help="Accept the head whatever its figures say.")] = False,
    epochs: Annotated[float, typer.Option("--epochs", min=0.1, max=100, help="How often each example is seen.")] = 3.0,
    rate: Annotated[float, typer.Option("--rate", min=1e-7, max=1e-2, help="Learning rate of the adapter.")] = 2e-4,
    max_minutes: Annotated[float, typer.Option("--max-minutes", min=0.01, help="Training ends after so long.")] = 120.0,
    seed: Annotated[int, typer.Option("--seed", help="Order of the examples.")] = 7,
    as_json: Annotated[bool, typer.Option("--json", help="Print the version and its figures as JSON.")] = False,
) -> None:
    """Train a head on your own traffic, from the one that is live.

    Some questions are held out: both heads are judged on them, and the new one is accepted, and live in all processes
    within `heads.poll_s`, only if the 95 % interval of the difference is above zero. Exit code 1: it was not accepted.
    """
    from services.cli.render import line, print_json
    from services.training.acceptance import table
    from services.training.examples import read_examples
    from services.training.improve import Improving
    from services.training.loop import TrainOptions

    options = TrainOptions(epochs=epochs, rate=rate, max_s=60 * max_minutes, seed=seed)
    examples = read_examples(traces)
    with context.runtime(ctx) as runtime:
        encoder = runtime.settings.encoder
        improving = Improving(encoder, runtime.head_versions, runtime.head_store, lambda said: line(said, stderr=True))
        improved = improving.run(head, examples, options, force=force)
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
