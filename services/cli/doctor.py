"""`strata doctor`."""

from typing import Annotated

import typer

from services.cli import context

_SIGNS = {"ok": ("ok", "green"), "note": ("note", "yellow"), "wrong": ("WRONG", "red")}


def doctor(
    ctx: typer.Context, as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False
) -> None:
    """Check that everything Strata needs is there and works, with a remedy for what does not.

    Exit code: 1 when something is wrong.
    """
    from dataclasses import asdict

    from services.cli.checkup import examine
    from services.cli.render import line, print_json

    findings = examine(context.settings(ctx))
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            word, style = _SIGNS[finding.state]
            line(f"{word:>5}  {finding.what}: {finding.detail}", style if finding.state != "ok" else "")
            if finding.remedy:
                line(f"       {finding.remedy}", style)
    if any(finding.state == "wrong" for finding in findings):
        raise typer.Exit(1)
