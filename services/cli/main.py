"""The command `strata`."""

import logging
import os
import sys
import warnings
from pathlib import Path
from typing import Annotated

import typer

from pipelines.core.errors import StrataError
from services.cli import (
    answers,
    ask,
    config,
    doctor,
    documents,
    evaluate,
    heads,
    ingest,
    keys,
    migrate,
    reindex,
    report,
    search,
    serve,
    sync,
    traces,
    train,
    worker,
)
from services.cli.context import GlobalOptions, installed_version

app = typer.Typer(
    name="strata",
    help="Answers questions over your documents, with citations that you can check.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("ingest")(ingest.ingest)
app.command("sync")(sync.sync)
app.command("ask")(ask.ask)
app.command("answers")(answers.answers)
app.command("search")(search.search)
app.add_typer(documents.app)
app.add_typer(keys.app)
app.command("reindex")(reindex.reindex)
app.command("serve")(serve.serve)
app.command("worker")(worker.worker)
app.command("migrate")(migrate.migrate)
app.add_typer(traces.app)
app.command("train")(train.train)
app.add_typer(heads.app)
app.add_typer(config.app)
app.command("doctor")(doctor.doctor)
app.command("evaluate")(evaluate.evaluate)
app.command("compare")(report.compare)
app.command("report")(report.report)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"strata {installed_version('strata-rag') or 'from source'}")
        raise typer.Exit


@app.callback()
def strata(
    ctx: typer.Context,
    config_file: Annotated[
        Path | None,
        typer.Option(
            "--config",
            metavar="FILE",
            help="Configuration file. Without it: what STRATA_CONFIG names, else strata.yaml in this folder.",
        ),
    ] = None,
    data_dir: Annotated[
        Path | None, typer.Option("--data-dir", metavar="DIR", help="Folder of index, state and files.")
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show tracebacks, warnings and library logs.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Answers questions over your documents, with citations that you can check."""
    ctx.obj = GlobalOptions(config=config_file, data_dir=data_dir, verbose=verbose)
    _tell_libraries(verbose)


def _tell_libraries(verbose: bool) -> None:
    """What libraries have to say concerns developers; a person at the command line gets answers and errors."""
    if verbose:
        logging.basicConfig(level=logging.INFO, stream=sys.stderr)
        return
    warnings.simplefilter("ignore")
    os.environ.setdefault("PYTHONWARNINGS", "ignore")  # for processes that this one starts
    logging.disable(logging.CRITICAL)


def main() -> None:
    """Runs the command line; errors are one line on standard error, with exit code 1."""
    for stream in (sys.stdout, sys.stderr):
        getattr(stream, "reconfigure", lambda **_: None)(errors="replace")  # a terminal that cannot show a character
    try:
        app(prog_name="strata")
    except StrataError as error:
        if "--verbose" in sys.argv:
            raise
        typer.echo(f"error: {error.detail}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
