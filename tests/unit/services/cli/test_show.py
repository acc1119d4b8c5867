import pytest

from pipelines.core.types import Answer, AnswerStatus, Citation, Fate, Receipt, StageReceipt, Usage
from services.cli.render import console
from services.cli.show import show_answer

CITATION = Citation(
    number=1, document_id="d", version="v", passage_id="p", title="Handbook", source="file:///h.md",
    section_path=("Landing", "Bounces"), page=3, start=0, end=20, quote="Go around\n   at once.",
)  # fmt: skip
RECEIPT = Receipt(
    stages=(
        StageReceipt(
            stage="synthesize", tier="large", model="acme/big",
            usage=Usage(calls=1, tokens_in=1200, tokens_out=80, cost_usd=0.0031), ms=812.4, fallback="`top` was down",
        ),
    ),
    total_ms=900.0,
    large_tokens_avoided=4321,
)  # fmt: skip


@pytest.fixture(autouse=True)
def fresh_console() -> None:
    console.cache_clear()


def shown(capsys: pytest.CaptureFixture[str], **fields: object) -> str:
    values = {"id": "a", "question": "q", "status": AnswerStatus.ANSWERED, "text": "Go around. [1]", "receipt": RECEIPT}
    show_answer(Answer.model_validate({**values, **fields}))
    return capsys.readouterr().out


def test_an_answer_with_citations_and_receipt_is_plain_text_when_piped(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, citations=(CITATION,))
    assert "\x1b" not in text
    assert text.startswith("Go around. [1]\n")
    assert "[1] Handbook › Landing › Bounces — page 3\n    “Go around at once.”\n    /h.md\n" in text
    row = next(line for line in text.splitlines() if line.startswith("synthesize"))
    assert row.split() == ["synthesize", "large", "acme/big", "1", "1,200", "80", "$0.0031", "812"]
    assert "synthesize: another way was taken: `top` was down" in text
    assert "Large-model tokens avoided: 4,321" in text


@pytest.mark.parametrize(
    ("status", "title"),
    [(AnswerStatus.DEGRADED, "Degraded answer"), (AnswerStatus.INSUFFICIENT, "Insufficient evidence")],
)
def test_a_lesser_answer_says_why(capsys: pytest.CaptureFixture[str], status: AnswerStatus, title: str) -> None:
    assert f"{title}\n  - the budget was spent" in shown(capsys, status=status, reasons=("the budget was spent",))


def test_claims_without_support_and_fates_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    fate = Fate(passage_id="p", document_id="d", title="Handbook", outcome="pruned", reason="budget", score=0.25)
    text = shown(capsys, unsupported=("The sky is green.",), fates=(fate,))
    assert "Not supported by the documents: The sky is green." in text
    assert ["Handbook", "pruned", "budget", "0.250"] in [line.split() for line in text.splitlines()]


def test_markup_and_control_characters_of_documents_stay_text(capsys: pytest.CaptureFixture[str]) -> None:
    hostile = CITATION.model_copy(update={"title": "[red]T[/red]\x1b[2J", "quote": "[bold]q[/bold] :smile:"})
    text = shown(capsys, citations=(hostile,))
    assert "[1] [red]T[/red][2J › Landing" in text
    assert "“[bold]q[/bold] :smile:”" in text
