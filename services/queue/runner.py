"""Runs the small stages on workers: sent once more when no result comes in time, done here when none comes at all."""

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import Any, Generic, Literal, TypeVar

from pipelines.core.breaker import Breaker
from pipelines.core.deadline import Deadline
from pipelines.core.errors import QueueUnavailableError, StrataError
from pipelines.core.session import Stopwatch
from pipelines.core.settings import Role, Settings
from pipelines.core.tasks import (
    CiteResult,
    CiteTask,
    PlanResult,
    PlanTask,
    PruneResult,
    PruneTask,
    Result,
    Runner,
    Task,
)
from pipelines.core.tracing import span
from pipelines.core.types import Usage
from services.queue.names import REPLY_TO
from services.queue.replies import Replies
from services.queue.sender import Sender
from services.queue.wire import unpack

TRIES = 2
GRACE_S = 0.5
"""Time for the way to the worker and back, beyond the stage's own limit."""
SHORT_S = 1.0
"""A question that could wait no longer than that says nothing about the workers."""

RemoteStage = Literal["plan", "prune", "cite"]
TaskT = TypeVar("TaskT", bound=Task)
ResultT = TypeVar("ResultT", bound=Result)


def patience_s(stage_s: float, left_s: float) -> float:
    """How long one try is waited for: the stage's own limit, but half of what is left for the question at most."""
    return min(stage_s, left_s / 2) + min(GRACE_S, left_s / 20)


class CeleryRunner:
    """A `Runner` whose stages run on workers. Used from one event loop only; no thread waits for a result.

    Args:
        lesser: Does a stage where no worker does.
        hedged: Hears of each stage whose task is sent a second time.
        deserted: Whether a stage is known to have no worker: then none is waited for.
    """

    def __init__(
        self,
        settings: Settings,
        sender: Sender,
        replies: Replies,
        lesser: Runner,
        hedged: Callable[[str], None] = lambda _: None,
        deserted: Callable[[Role], bool] = lambda _: False,
    ) -> None:
        link = sender, replies, hedged, deserted
        self.plan = _Remote[PlanTask, PlanResult]("plan", settings.plan.timeout_s, PlanResult, lesser.plan, *link)
        self.prune = _Remote[PruneTask, PruneResult](
            "prune", settings.prune.timeout_s, PruneResult, lesser.prune, *link
        )
        self.cite = _Remote[CiteTask, CiteResult]("cite", settings.cite.timeout_s, CiteResult, lesser.cite, *link)


class _Remote(Generic[TaskT, ResultT]):
    """One stage."""

    def __init__(
        self,
        stage: RemoteStage,
        timeout_s: float,
        result: type[ResultT],
        lesser: Callable[[TaskT], Awaitable[ResultT]],
        sender: Sender,
        replies: Replies,
        hedged: Callable[[str], None],
        deserted: Callable[[Role], bool],
    ) -> None:
        self._hedged, self._deserted = hedged, deserted
        self._stage, self._timeout_s, self._result, self._lesser = stage, timeout_s, result, lesser
        self._sender, self._replies = sender, replies
        self._workers = Breaker(f"workers of the stage {stage}", QueueUnavailableError)

    async def __call__(self, task: TaskT) -> ResultT:
        """The worker's result, or the lesser way's with the reason in its receipt. Cancelling it stops the worker."""
        watch = Stopwatch()
        deadline = Deadline.after(task.timeout_s)
        reason = ""
        usage = Usage()
        try:
            if self._deserted(self._stage):
                raise QueueUnavailableError(f"No worker takes the stage {self._stage} at the moment.")
            self._workers.check()
            result = await self._ask(task, deadline)
        except StrataError as error:
            reason, usage = error.detail, getattr(error, "usage", None) or usage
            result = await self._lesser(_until(task, deadline))
        return _accounted(result, watch, usage, reason)

    async def _ask(self, task: TaskT, deadline: Deadline) -> ResultT:
        """Sends the task, and once more when no result comes in time; the first result counts."""
        started = time.monotonic()
        tries: set[asyncio.Task[ResultT]] = set()
        try:
            for number in range(TRIES):
                if number:
                    self._hedged(self._stage)
                left_s = deadline.remaining()
                tries.add(asyncio.ensure_future(self._try(_until(task, deadline))))
                done, tries = await asyncio.wait(
                    tries, timeout=patience_s(self._timeout_s, left_s), return_when=asyncio.FIRST_COMPLETED
                )
                if done:
                    return self._best(done)
        finally:
            self._workers.abandoned()  # unless it told something, which has been reported
            for each in tries:
                each.cancel()
            if tries:
                await asyncio.wait(tries)  # they end at once, and tell the workers
        if time.monotonic() - started >= SHORT_S:
            self._workers.failed()
        raise QueueUnavailableError(f"No worker finished the stage {self._stage} in time.")

    def _best(self, done: set[asyncio.Task[ResultT]]) -> ResultT:
        """A result where there is one, else the error."""
        best = min(done, key=lambda each: each.exception() is not None)
        if not isinstance(best.exception(), QueueUnavailableError):  # an error is an answer of a worker as well
            self._workers.succeeded()
        return best.result()

    async def _try(self, task: TaskT) -> ResultT:
        task_id = uuid.uuid4().hex
        # A worker of an older version refuses fields that it does not know, so one that is not set is not sent.
        payload = task.model_dump_json(exclude=None if task.trace else {"trace"})
        with span(f"{self._stage} on a worker", kind="producer"), self._replies.expecting(task_id) as reply:
            headers = {REPLY_TO: self._replies.key}
            await self._sender.send(self._stage, task_id, payload, headers, task.timeout_s)
            message = await reply
        try:
            return unpack(message, self._result)
        except ValueError:
            raise QueueUnavailableError(f"A worker's result of the stage {self._stage} cannot be read.") from None


def _until(task: TaskT, deadline: Deadline) -> TaskT:
    return task.model_copy(update={"timeout_s": deadline.remaining()})


def _accounted(result: ResultT, watch: Stopwatch, spent: Usage, reason: str) -> ResultT:
    """The result with the wall time that the question waited, what a failed way had cost, and why it failed."""
    receipt = result.receipt
    update: dict[str, Any] = {"ms": watch.ms}
    if reason:
        update |= {"usage": spent + receipt.usage, "fallback": "; ".join(filter(None, (reason, receipt.fallback)))}
    return result.model_copy(update={"receipt": receipt.model_copy(update=update)})
