"""An answer for a person: text, citations, receipt."""

from rich.padding import Padding
from rich.text import Text

from pipelines.core.types import Answer, AnswerStatus, Citation, Receipt, StageReceipt, Usage
from services.cli.render import add_row, clean, console, cost, line, one_line, place, table, where

NUMBERS = ("calls", "tokens in", "tokens out", "cost", "ms")
_TITLES = {AnswerStatus.DEGRADED: "Degraded answer", AnswerStatus.INSUFFICIENT: "Insufficient evidence"}


def show_answer(answer: Answer) -> None:
    """Writes the answer with everything that lets a person check it."""
    line(clean(answer.text), "bold" if answer.status == AnswerStatus.ANSWERED else "")
    for citation in answer.citations:
        _show_citation(citation)
    for claim in answer.unsupported:
        line(f"\nNot supported by the documents: {one_line(claim)}", "yellow")
    if answer.fates:
        _show_fates(answer)
    line("")
    _show_receipt(answer.receipt)
    if title := _TITLES.get(answer.status):
        line(f"\n{title}" + "".join(f"\n  - {one_line(reason)}" for reason in answer.reasons), "yellow")


def _show_citation(citation: Citation) -> None:
    line(f"\n[{citation.number}] {where(citation.title, citation.section_path, citation.page)}", "cyan")
    _indented(f"“{one_line(citation.quote)}”")
    _indented(place(citation.source), "dim")


def _indented(text: str, style: str = "") -> None:
    target = console()
    if target.is_terminal:
        target.print(Padding(Text(text, style=style), (0, 0, 0, 4)))
    else:
        line(f"    {text}")


def _show_receipt(receipt: Receipt) -> None:
    made = table("stage", "tier", "model", *NUMBERS, right=NUMBERS)
    for stage in receipt.stages:
        add_row(made, stage.stage, stage.tier, stage.model, *_figures(stage.usage, stage.ms))
    made.add_section()
    add_row(made, "total", "", "", *_figures(receipt.total, receipt.total_ms), style="bold")
    console().print(made)
    for stage in receipt.stages:
        _show_fallback(stage)
    line(f"Large-model tokens avoided: {receipt.large_tokens_avoided:,}")


def _figures(usage: Usage, ms: float) -> tuple[str, ...]:
    return str(usage.calls), f"{usage.tokens_in:,}", f"{usage.tokens_out:,}", cost(usage.cost_usd), f"{ms:,.0f}"


def _show_fallback(stage: StageReceipt) -> None:
    if stage.fallback:
        line(f"{stage.stage}: another way was taken: {one_line(stage.fallback)}", "yellow")


def _show_fates(answer: Answer) -> None:
    made = table("retrieved passage of", "became", "why", "score", right=("score",))
    for fate in answer.fates:
        score = "" if fate.score is None else f"{fate.score:.3f}"
        add_row(made, fate.title, fate.outcome, fate.reason, score)
    line("")
    console().print(made)
