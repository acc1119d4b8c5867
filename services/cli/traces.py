"""`strata traces`."""

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TextIO

import typer

from services.cli import context

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipelines.core.state import TraceFilter
    from services.training.traffic.teacher import Labelling

app = typer.Typer(
    name="traces",
    help="Records of the small stages, kept with `traces.consent`: see, label, export and delete them.",
    no_args_is_help=True,
)

Stage = Annotated[Literal["plan", "prune", "cite"] | None, typer.Option("--stage", help="Only this stage's records.")]
TenantName = Annotated[str | None, typer.Option("--tenant", help="Only this tenant's records.")]


@app.command(name="list")
def list_traces(
    ctx: typer.Context,
    stage: Stage = None,
    tenant: TenantName = None,
    question: Annotated[str | None, typer.Option("--question", metavar="ID", help="Only this answer's.")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the records, texts included, one JSON object a line.")
    ] = False,
) -> None:
    """Count records and teachers' labels, by stage. `ok`, `retried`, `failed`: whether a model kept to the form."""
    from services.cli.render import add_row, console, line, table

    with context.runtime(ctx) as runtime:
        which = _filter(tenant, stage, question)
        if as_json:
            _print_records(runtime.traces, which)
            return
        counts, labels = runtime.traces.counts(which), runtime.traces.label_counts(which)
    made = table(
        "stage", "no model", "ok", "retried", "failed", "labels", right=("no model", "ok", "retried", "failed")
    )
    for name in sorted({stage for stage, _ in counts}):
        teachers = ", ".join(f"{tier}: {number:,}" for (of, tier), number in sorted(labels.items()) if of == name)
        cells = [f"{counts.get((name, parse), 0):,}" for parse in ("none", "ok", "retried", "failed")]
        add_row(made, name, *cells, teachers)
    if counts:
        console().print(made)
    line(f"{sum(counts.values()):,} records", stderr=True)


@app.command()
def label(
    ctx: typer.Context,
    tier: Annotated[str, typer.Option("--tier", help="The entry of `models` that teaches, a large one.")],
    stage: Stage = None,
    tenant: TenantName = None,
    max_cost_usd: Annotated[
        float | None, typer.Option("--max-cost-usd", min=0, help="Most that this run may cost.")
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Most records of this run.")] = None,
    concurrency: Annotated[int, typer.Option("--concurrency", min=1, max=64, help="Calls at a time.")] = 4,
) -> None:
    """Have a large model do recorded tasks again, as teacher. What it has labelled already is left out.

    The records are sent to that model's provider as they are. Every label is kept as it comes: a run that ends early
    goes on where it was.
    """
    from services.cli.render import line
    from services.training.traffic.teacher import Teacher

    def told(run: "Labelling") -> None:
        line(f"{run.labelled:,} labelled, {run.failed:,} failed, {_cost(run)}", stderr=True)

    with context.runtime(ctx) as runtime:
        runtime.tiers.warm_up()
        teacher = Teacher(runtime.settings, runtime.tiers, runtime.traces, tier, concurrency=concurrency)
        which = _filter(tenant, stage)
        run = runtime.loop.run(teacher.run(which, max_cost_usd=max_cost_usd, limit=limit, told=told))
    line(f"{run.labelled:,} records labelled by {tier}, {run.failed:,} failed, {_cost(run)}.")
    if run.ended:
        line(f"Ended early: {run.ended}", stderr=True)
        raise typer.Exit(1)


@app.command()
def export(
    ctx: typer.Context,
    head: Annotated[
        Literal["resolve", "evidence", "support", "sufficiency"] | None,
        typer.Option("--head", help="Examples for `strata train`."),
    ] = None,
    trl: Annotated[
        bool, typer.Option("--trl", help="Preference pairs in TRL's conversational form, for one --stage.")
    ] = False,
    stage: Stage = None,
    tenant: TenantName = None,
    tier: Annotated[str | None, typer.Option("--tier", help="Only this teacher's labels.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Written anew; standard output without it.")
    ] = None,
) -> None:
    """Write labelled records as JSON lines to train with, personal data taken out."""
    from services.cli.render import line
    from services.training.traffic.preferences import preferences_of
    from services.training.traffic.records import STAGE_OF, examples_of
    from services.training.traffic.scrub import Scrubber

    if (head is None) == (not trl) or (trl and stage is None) or (head and stage not in (None, STAGE_OF[head])):
        raise typer.BadParameter("give --head NAME, or --trl and --stage NAME.", param_hint="--head")
    scrubber = Scrubber()
    records = lines = 0
    with context.runtime(ctx) as runtime, _opened(out) as file:
        of_stage = STAGE_OF[head] if head else stage
        for trace, found in runtime.traces.labelled(_filter(tenant, of_stage), tier):
            made: list[Any] = (
                [
                    example.model_dump_json(exclude_defaults=True)
                    for example in examples_of(head, trace, found, scrubber)
                ]
                if head
                else [_json(pair) for pair in preferences_of(trace, found, runtime.settings, scrubber)]
            )
            file.writelines(f"{each}\n" for each in made)
            records, lines = records + 1, lines + len(made)
    line(f"{lines:,} lines of {records:,} labelled records. {scrubber.what}", stderr=True)


@app.command()
def delete(
    ctx: typer.Context,
    tenant: TenantName = None,
    stage: Stage = None,
    question: Annotated[str | None, typer.Option("--question", metavar="ID", help="Only this answer's.")] = None,
    every: Annotated[bool, typer.Option("--all", help="All records of all tenants.")] = False,
) -> None:
    """Delete records and their labels for good."""
    if not (every or tenant or stage or question):
        raise typer.BadParameter("say which: --tenant, --stage, --question, or --all.", param_hint="--all")
    deleted = 0
    with context.runtime(ctx) as runtime:
        while some := runtime.traces.delete(_filter(tenant, stage, question)):
            deleted += some
    typer.echo(f"{deleted:,} records deleted.")


def _filter(tenant: str | None, stage: Any, question: str | None = None) -> "TraceFilter":
    from pipelines.core.state import TraceFilter

    return TraceFilter(tenant=tenant, stage=stage, question_id=question)


def _print_records(traces: Any, which: "TraceFilter") -> None:
    from dataclasses import asdict

    cursor = None
    while True:
        page = traces.page(which, cursor=cursor)
        for trace in page.items:
            record = asdict(trace) | {"created_at": trace.created_at.isoformat()}
            typer.echo(_json({key: value for key, value in record.items() if key != "document_ids"}))
        cursor = page.next_cursor
        if cursor is None:
            return


def _json(value: Any) -> str:
    import json

    return json.dumps(value, ensure_ascii=False)


def _cost(run: "Labelling") -> str:
    return "cost unknown" if run.usage.cost_usd is None else f"{run.usage.cost_usd:.4f} USD"


@contextmanager
def _opened(out: Path | None) -> "Iterator[TextIO]":
    """Standard output, or a file that is there whole once the block ends without an error."""
    import sys

    if out is None:
        yield sys.stdout
        return
    partial = out.with_name(f"{out.name}.partial")
    try:
        with partial.open("w", encoding="utf-8") as file:
            yield file
        partial.replace(out)
    except OSError as error:
        raise typer.BadParameter(f"{out} cannot be written: {error.strerror}.", param_hint="--out") from None
    finally:
        partial.unlink(missing_ok=True)
