"""Answers through the whole real question path: what they hold, whether they can be checked, what they take."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.answer import answer
from pipelines.core.errors import StrataError
from pipelines.core.types import MARKER, Answer, AnswerStatus
from services.evaluation.corpus import Begin, CorpusIndex
from services.evaluation.metrics import contains_answer, quote_is_verbatim
from services.evaluation.result import AbstentionResult, AnswersResult
from services.evaluation.retrieval import question_of
from services.evaluation.sets import Item
from services.evaluation.statistics import interval, mean, spread
from services.runtime import Runtime

DEFAULT_QUESTIONS = 200
REMOVED_QUESTIONS = 100


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What became of one question: an answer, or the code of an error."""

    item: Item
    answer: Answer | None = None
    error: str = ""

    @property
    def abstained(self) -> bool:
        return self.answer is not None and self.answer.status is AnswerStatus.INSUFFICIENT

    @property
    def answered(self) -> bool:
        return self.answer is not None and not self.abstained

    @property
    def right(self) -> bool:
        """Whether it holds a gold answer. Citation markers are no part of the text: `[1]` must not match `1`."""
        text = MARKER.sub(" ", self.answer.text) if self.answer else ""
        return self.answered and contains_answer(text, self.item.answers)


async def measure_answers(items: Sequence[Item], runtime: Runtime, seed: int) -> AnswersResult:
    """Asks questions whose gold documents are in the index."""
    outcomes = await _ask(items, runtime)
    answers = [each.answer for each in outcomes if each.answer]
    receipts = [each.receipt for each in answers]
    verbatim = [quote_is_verbatim(each, runtime.blobs.read_span) for answer in answers for each in answer.citations]
    right = [float(each.right) for each in outcomes]
    costs = [receipt.total.cost_usd for receipt in receipts]
    known = [cost for cost in costs if cost is not None]
    return AnswersResult(
        n=len(outcomes),
        answered=mean([each.answered for each in outcomes]),
        wrongly_abstained=mean([each.abstained for each in outcomes]),
        failed=_failed(outcomes),
        contains_answer=mean(right),
        contains_answer_interval=interval(right, seed),
        citations=len(verbatim),
        verbatim=mean(verbatim) if verbatim else None,
        total_ms=spread([receipt.total_ms for receipt in receipts]),
        outside_models_ms=spread([receipt.total_ms - receipt.total.model_ms for receipt in receipts]),
        calls=mean([receipt.total.calls for receipt in receipts]),
        tokens_in=mean([receipt.total.tokens_in for receipt in receipts]),
        tokens_out=mean([receipt.total.tokens_out for receipt in receipts]),
        cost_usd=mean(known) if len(known) == len(costs) else None,
        large_tokens_avoided=mean([receipt.large_tokens_avoided for receipt in receipts]),
    )


async def measure_abstention(
    items: Sequence[Item], runtime: Runtime, index: CorpusIndex, begin: Begin, seed: int
) -> AbstentionResult:
    """Asks questions while their gold documents are out of the index, and puts them back."""
    index.remove({gold for item in items for gold in item.gold})
    try:
        outcomes = await _ask(items, runtime)
    finally:
        index.ensure(begin)
    abstained = [float(each.abstained) for each in outcomes]
    return AbstentionResult(
        n=len(outcomes),
        abstained=mean(abstained),
        abstained_interval=interval(abstained, seed),
        answered_right=mean([each.right for each in outcomes]),
        failed=_failed(outcomes),
    )


def following(items: Sequence[Item], start: int, count: int) -> list[Item]:
    """`count` items from `start` on, from the first again after the last; never one twice."""
    return [items[(start + offset) % len(items)] for offset in range(min(count, len(items)))]


async def _ask(items: Sequence[Item], runtime: Runtime) -> list[_Outcome]:
    """One question after the other; an error ends its question, not the run."""
    outcomes: list[_Outcome] = []
    for item in items:
        question = question_of(item, history=True)
        try:
            runtime.asking.check(question)
            given = await answer(runtime.answer_pipeline, question, deadline_s=runtime.settings.answer.deadline_s)
        except StrataError as error:
            outcomes.append(_Outcome(item, error=error.code))
        else:
            outcomes.append(_Outcome(item, given))
    return outcomes


def _failed(outcomes: Sequence[_Outcome]) -> dict[str, int]:
    return dict(Counter(each.error for each in outcomes if each.error))
