"""What one question scored on the question path: what the answer holds, whether it can be checked, what it took."""

from collections.abc import Callable
from dataclasses import dataclass

from pipelines.cite import read_claims
from pipelines.core.types import MARKER, Answer, AnswerStatus
from services.evaluation.data.sets import Item
from services.evaluation.metrics import contains_answer, quote_is_verbatim, rouge_l
from services.evaluation.result import Measure, ScoredItem

CONTAINS, ROUGE, SUPPORT = "contains a gold answer", "ROUGE-L", "claim support"
CITATIONS, VERBATIM = "citations", "citations verbatim"
ANSWERED, WRONGLY, RIGHTLY = "answered", "wrongly abstained", "rightly abstained"
CALLS, TOKENS_IN, TOKENS_OUT, COST = "calls", "tokens in", "tokens out", "cost"
AVOIDED = "large tokens avoided"
P50, P95, OUTSIDE = "p50 ms", "p95 ms", "p50 ms outside models"

QUALITY = (
    Measure(name=CONTAINS),
    Measure(name=ROUGE),
    Measure(name=SUPPORT),
    Measure(name=CITATIONS, unit="number", better="", headline=False),
    Measure(name=VERBATIM),
    Measure(name=ANSWERED, better="", headline=False),
    Measure(name=WRONGLY, better="lower"),
    Measure(name=RIGHTLY),
)
SPENT = (
    Measure(name=CALLS, unit="number", better="lower", headline=False),
    Measure(name=TOKENS_IN, unit="tokens", better="lower", headline=False),
    Measure(name=TOKENS_OUT, unit="tokens", better="lower", headline=False),
    Measure(name=COST, unit="usd", better="lower"),
    Measure(name=AVOIDED, unit="tokens"),
    Measure(name=P50, unit="ms", better="lower"),
    Measure(name=P95, unit="ms", better="lower", headline=False),
    Measure(name=OUTSIDE, unit="ms", better="lower", headline=False),
)
MEASURES = (*QUALITY, *SPENT)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one question: an answer, or the code of an error."""

    item: Item
    answer: Answer | None = None
    error: str = ""

    @property
    def abstained(self) -> bool:
        """Whether it ended as insufficient evidence."""
        return self.answer is not None and self.answer.status is AnswerStatus.INSUFFICIENT

    @property
    def answered(self) -> bool:
        """Whether there is an answer, degraded or not."""
        return self.answer is not None and not self.abstained

    @property
    def text(self) -> str:
        """The answer without its citation markers: `[1]` must not match `1`. Empty where there is none."""
        return MARKER.sub(" ", self.answer.text) if self.answer and self.answered else ""

    @property
    def right(self) -> bool:
        """Whether it holds a gold answer."""
        return contains_answer(self.text, self.item.answers)


def score(
    outcome: Outcome, system: str, read_span: Callable[[str, int, int], str], *, short_answers: bool
) -> ScoredItem:
    """Every measure of one question.

    Args:
        read_span: Reads `[start, end)` of a source text by its key; see `pipelines.core.blobs`.
        short_answers: Whether a right answer holds a gold answer word for word.
    """
    item = outcome.item
    scores = {**_quality(outcome, read_span, short_answers=short_answers), **_spent(outcome)}
    detail = {"text": outcome.text, "error": outcome.error} if outcome.error else {"text": outcome.text}
    return ScoredItem(id=item.id, system=system, group=item.group, scores=scores, detail=detail)


def _quality(
    outcome: Outcome, read_span: Callable[[str, int, int], str], *, short_answers: bool
) -> dict[str, float | None]:
    item, answer = outcome.item, outcome.answer
    citations = answer.citations if answer else ()
    judged = bool(item.answers) and item.answerable is not False
    return {
        CONTAINS: float(outcome.right) if judged and short_answers else None,
        ROUGE: rouge_l(outcome.text, item.answers) if judged else None,
        SUPPORT: claim_support(answer) if answer and outcome.answered else None,
        CITATIONS: float(len(citations)),
        VERBATIM: sum(quote_is_verbatim(each, read_span) for each in citations) / len(citations) if citations else None,
        ANSWERED: float(outcome.answered),
        WRONGLY: float(outcome.abstained) if item.answerable is True else None,
        RIGHTLY: float(outcome.abstained) if item.answerable is False else None,
    }


def _spent(outcome: Outcome) -> dict[str, float | None]:
    if outcome.answer is None:
        return {}
    receipt = outcome.answer.receipt
    total = receipt.total
    outside = receipt.total_ms - total.model_ms
    return {
        CALLS: total.calls,
        TOKENS_IN: total.tokens_in,
        TOKENS_OUT: total.tokens_out,
        COST: total.cost_usd,
        AVOIDED: receipt.large_tokens_avoided,
        P50: receipt.total_ms,
        P95: receipt.total_ms,
        OUTSIDE: outside,
    }


def claim_support(answer: Answer) -> float | None:
    """How far the cited sentences support the claims, 0 to 1, a claim without citation as 0; `None` without claims.

    By the product's own measure of support: it says what a reader of the citations sees, not what people would judge.
    """
    support = {citation.number: citation.support or 0.0 for citation in answer.citations}
    claims = [claim for claim in read_claims(answer.text) if claim.states]
    best = [max((support.get(number, 0.0) for number in claim.numbers), default=0.0) for claim in claims]
    return sum(best) / len(best) if best else None
