"""Writes the reference page of the command line: `python -m services.cli.reference docs/cli.md`."""

import sys

import typer
from typer.cli import get_docs_for_click

from services.cli.main import app
from services.config.reference import write_page

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


if __name__ == "__main__":
    write_page(render(), sys.argv[1:])
