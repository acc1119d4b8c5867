"""`strata report` and `strata compare`: what `strata evaluate --json` wrote, read again."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.evaluation.compare import Difference
    from services.evaluation.result import Result

Files = Annotated[list[Path], typer.Argument(metavar="RESULT...", help="Files that --json wrote.", show_default=False)]
Html = Annotated[
    Path | None, typer.Option("--html", metavar="FILE", help="Write a page with tables and plots, for a browser.")
]
Markdown = Annotated[
    Path | None, typer.Option("--markdown", metavar="FILE", help="Write the tables as Markdown, for a README.")
]


def report(results: Files, html: Html = None, markdown: Markdown = None) -> None:
    """Show results of evaluations again, several on one page."""
    from services.cli.evaluate import show

    check_writable({"--html": html, "--markdown": markdown})
    read = [read_result(path) for path in results]
    write_reports(read, html, markdown)
    for result in read:
        show(result)


def compare(
    first: Annotated[Path, typer.Argument(metavar="A.json", help="The result before.", show_default=False)],
    second: Annotated[Path, typer.Argument(metavar="B.json", help="The result after.", show_default=False)],
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the differences.")] = None,
) -> None:
    """Compare two results on the same questions, question by question."""
    from services.cli.render import line
    from services.evaluation.compare import compare
    from services.evaluation.report.markdown import origin

    check_writable({"--json": json_file})
    one, other = read_result(first), read_result(second)
    differences = compare(one, other)
    if json_file:
        text = ",\n".join(each.model_dump_json() for each in differences)
        json_file.write_text(f"[{text}]\n", encoding="utf-8")
    line(f"{one.set} · {one.split} · B less A, with 95 % interval · seed {one.seed}", "bold")
    line(f"A: {origin(one)}")
    line(f"B: {origin(other)}")
    if differences:
        _show_differences(differences)
    else:
        line("No question scored differently.")


def _show_differences(differences: "Sequence[Difference]") -> None:
    from services.cli.render import add_row, console, table
    from services.evaluation.report.text import number, signed

    right = ("A", "B", "B − A", "95 %", "win / tie / loss", "n")
    made = table("task", "system", "measure", *right, "", right=right)
    styles = {"better": "green", "worse": "red"}
    for each in differences:
        unit = each.measure.unit
        add_row(
            made,
            each.task,
            each.system,
            each.measure.name,
            number(each.first, unit),
            number(each.second, unit),
            signed(each.difference, unit),
            " to ".join(signed(bound, unit) for bound in each.interval),
            f"{each.wins} / {each.ties} / {each.losses}",
            each.n,
            each.verdict,
            style=styles.get(each.verdict, ""),
        )
    console().print(made)


def read_result(path: Path) -> "Result":
    """A result file.

    Raises:
        InvalidRequestError: it is missing or no result.
    """
    from pydantic import ValidationError

    from pipelines.core.errors import InvalidRequestError
    from services.evaluation.result import Result

    try:
        return Result.model_validate_json(path.read_bytes())
    except OSError as error:
        raise InvalidRequestError(f"{path} cannot be read: {error.strerror}.") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InvalidRequestError(f"{path} is no result of `strata evaluate`: {where} {first['msg']}.") from error


def write_reports(results: "Sequence[Result]", html: Path | None, markdown: Path | None) -> None:
    """Writes the page and the tables that were asked for."""
    if html:
        from services.evaluation.report.page import page

        html.write_text(page(results), encoding="utf-8")
    if markdown:
        from services.evaluation.report.markdown import markdown as tables

        markdown.write_text(tables(results), encoding="utf-8")


def check_writable(files: dict[str, Path | None]) -> None:
    """Refuses before the work what could not be written after it.

    Raises:
        InvalidRequestError: a folder is missing, or is named in place of a file.
    """
    from pipelines.core.errors import InvalidRequestError

    for option, file in files.items():
        if file and (file.is_dir() or not file.parent.is_dir()):
            raise InvalidRequestError(
                f"{option}: {file} cannot be written: its folder is missing, or it is one itself."
            )
