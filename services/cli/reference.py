"""Writes the reference page of the command line: `python -m services.cli.reference docs/cli.md`."""

import sys
from pathlib import Path

import typer
from typer.cli import get_docs_for_click

from services.cli.main import app

HEAD = """\
# Command line

<!-- Written by `python -m services.cli.reference`. Edit the docstrings in services/cli instead. -->

"""


def render() -> str:
    """The whole page, as Markdown."""
    command = typer.main.get_command(app)
    context = typer.Context(command, info_name="strata")
    page = get_docs_for_click(obj=command, ctx=context, name="strata", indent=1)
    return HEAD + page.strip() + "\n"


def main(arguments: list[str]) -> int:
    """Writes the page to the file named, else to standard output."""
    if arguments:
        Path(arguments[0]).write_text(render(), encoding="utf-8")
    else:
        sys.stdout.write(render())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
