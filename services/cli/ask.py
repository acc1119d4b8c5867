"""`strata ask`."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli import context

if TYPE_CHECKING:
    from asyncio import Runner

    from pipelines.core.types import Answer, Question
    from services.runtime import Runtime

INSUFFICIENT = 3


def ask(
    ctx: typer.Context,
    question: Annotated[
        str | None, typer.Argument(metavar="QUESTION", help="What you want to know.", show_default=False)
    ] = None,
    chat: Annotated[
        bool, typer.Option("--chat", help="Go on asking; earlier turns are remembered. An empty line ends it.")
    ] = False,
    history: Annotated[
        Path | None,
        typer.Option(
            "--history", metavar="FILE", help="Earlier turns, oldest first: JSON Lines or a JSON list of {role, text}."
        ),
    ] = None,
    filters: Annotated[
        list[str] | None,
        typer.Option("--filter", "-f", metavar="KEY=VALUE", help="Only documents with this metadata; repeatable."),
    ] = None,
    deadline: Annotated[
        float | None, typer.Option("--deadline", metavar="SECONDS", min=0.001, help="Bound on the whole question.")
    ] = None,
    tenant: context.Tenant = "default",
    explain: Annotated[bool, typer.Option("--explain", help="Show what became of each retrieved passage.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")] = False,
) -> None:
    """Answer a question from the documents, with citations and a receipt.

    Exit code: 0 answered, 3 when the documents do not answer, 1 on an error.
    """
    from asyncio import Runner

    from pipelines.core.types import Filter, Limits, Question
    from services.cli.fields import parse_fields
    from services.cli.history import read_history

    if question is None and not chat:
        raise typer.BadParameter("give a question, or --chat.", param_hint="QUESTION")
    settings = context.settings(ctx)
    first = Question(
        text=question or "",
        history=read_history(history) if history else (),
        filter=Filter(tenant=tenant, metadata=parse_fields(filters or [], settings, "--filter")),
        limits=Limits(deadline_ms=max(1, round(deadline * 1000)) if deadline else None),
        explain=explain,
    )
    with Runner() as loop, context.runtime(ctx) as runtime:
        try:
            if chat:
                _converse(loop, runtime, first, as_json)
                return
            answer = loop.run(_answer(runtime, first, as_json))
            _show(answer, as_json)
        finally:
            loop.run(runtime.aclose())
    if answer.status == "insufficient_evidence":
        raise typer.Exit(INSUFFICIENT)


async def _answer(runtime: "Runtime", question: "Question", quiet: bool) -> "Answer":
    from asyncio import to_thread

    from services.cli.stream import streamed

    with streamed(quiet=quiet) as emit:
        await to_thread(runtime.warm_up)  # so that the receipt counts answering, not loading
        return await runtime.ask(question, emit)


def _show(answer: "Answer", as_json: bool) -> None:
    from services.cli.render import print_json
    from services.cli.show import show_answer

    if as_json:
        print_json(answer.model_dump(mode="json"))
    else:
        show_answer(answer)


def _converse(loop: "Runner", runtime: "Runtime", question: "Question", as_json: bool) -> None:
    """Asks until an empty line or the end of input. The conversation lives as long as the command."""
    from pipelines.core.errors import InvalidRequestError
    from pipelines.core.types import Turn

    while text := question.text or _prompt(input):
        try:
            answer = loop.run(_answer(runtime, question.model_copy(update={"text": text}), as_json))
        except InvalidRequestError as error:
            typer.echo(f"error: {error.detail}", err=True)
            question = question.model_copy(update={"text": ""})
            continue
        _show(answer, as_json)
        turns = (Turn(role="user", text=text), Turn(role="assistant", text=answer.text))
        kept = (*question.history, *turns)[-runtime.settings.answer.max_history_turns :]
        question = question.model_copy(update={"text": "", "history": kept})


def _prompt(read: Callable[[str], str]) -> str:
    try:
        return read("\n? ").strip()
    except EOFError:
        return ""
