"""Questions as they come in: checked, admitted, answered, and accounted for."""

import asyncio
import logging
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from pipelines.core.errors import InvalidRequestError, OverloadedError, RequestTooLargeError, StateUnavailableError
from pipelines.core.events import Emit, ignore
from pipelines.core.settings import Settings
from pipelines.core.state import Receipts
from pipelines.core.tracing import note, span
from pipelines.core.types import Answer, Question
from services.questions.recording import trace_of
from services.questions.stages import Stages
from services.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from haystack import Pipeline

logger = logging.getLogger(__name__)

_SURROGATE = re.compile("[\ud800-\udfff]")
"""What Python makes of bytes that are no UTF-8, such as those of a command line. No model and no database takes it."""


class Asking:
    """Answers questions.

    Args:
        pipeline: Gives the question path, its models loaded; called in a thread.
        receipts: Gives where they are kept.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        pipeline: "Callable[[], Pipeline]",
        receipts: Callable[[], Receipts],
        stages: Stages,
        metrics: Metrics,
    ) -> None:
        self._settings, self._stages, self._metrics = settings, stages, metrics
        self._pipeline, self._receipts = pipeline, receipts

    async def ask(self, question: Question, emit: Emit = ignore) -> Answer:
        """Answers a question and keeps its receipt.

        Raises:
            InvalidRequestError: see `check`.
            OverloadedError: see `admit`.
            StrataError: see `pipelines.answer.answer`.
        """
        self.check(question)
        self.admit()
        with self._metrics.answering(), span("question") as current:
            pipeline = await asyncio.to_thread(self._pipeline)
            from pipelines.answer import answer

            result = await answer(
                pipeline,
                question,
                deadline_s=self._settings.answer.deadline_s,
                emit=emit,
                observe=self._metrics.stage,
                trace=trace_of(self._settings.traces, question.filter),
            )
            note(current, {"strata.answer_id": result.id, "strata.status": result.status.value})
        self._metrics.answered(result)
        if self._settings.telemetry.log_content:
            logger.info("answer %s: question %r, answer %r", result.id, question.text, result.text)
        await self._keep_receipt(question, result)
        return result

    async def _keep_receipt(self, question: Question, answer: Answer) -> None:
        seen = question.filter
        try:
            await asyncio.to_thread(self._receipts().record, seen.tenant, answer, labels=seen.labels)
        except StateUnavailableError as error:  # the answer is there and may have been paid for
            logger.warning("the receipt of answer %s was not kept: %s", answer.id, error.detail)

    def admit(self) -> None:
        """Refuses questions before anything is spent on them, while the model that writes is known to be away.

        Raises:
            OverloadedError: it and its fallbacks are, and `synthesize.when_away` does not have sentences quoted.
        """
        if self._settings.synthesize.when_away == "quote":
            return
        if away_s := self._stages.away_for_s("synthesize"):
            raise OverloadedError(
                f"The model `{self._stages.model_of('synthesize')}`, which writes answers, is not available at the "
                "moment; try again later.",
                retry_after_s=away_s,
            )

    def check(self, question: Question) -> None:
        """Refuses a question that `ask` would refuse.

        Raises:
            InvalidRequestError: it is empty, or holds what is no text.
            RequestTooLargeError: it is longer than the settings allow.
        """
        limits = self._settings.answer
        if not question.text.strip():
            raise InvalidRequestError("The question is empty.")
        if any(_SURROGATE.search(text) for text in (question.text, *(turn.text for turn in question.history))):
            raise InvalidRequestError("The question holds half a surrogate pair, which is no character.")
        if len(question.text) > limits.max_question_chars:
            raise RequestTooLargeError(f"The question is longer than {limits.max_question_chars} characters.")
        if len(question.history) > limits.max_history_turns:
            raise RequestTooLargeError(f"The conversation has more than {limits.max_history_turns} turns.")
        if sum(len(turn.text) for turn in question.history) > limits.max_history_chars:
            raise RequestTooLargeError(f"The conversation is longer than {limits.max_history_chars} characters.")
