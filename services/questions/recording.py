"""Recording what the small stages are given and give back, where the operator consents to it.

A record is written in the background: a question never waits for one, and one that cannot be kept is lost and counted.
"""

import json
import logging
import queue
import threading
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, TypeVar

from pipelines.core.errors import StrataError
from pipelines.core.models import ModelReply, listening
from pipelines.core.settings import TraceSettings
from pipelines.core.state import Parse, Trace, TracedStage, Traces
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
    TraceOf,
)
from pipelines.core.types import Filter

WAITING = 256
"""Records that may wait to be written; each holds the passages of a question."""
TOGETHER = 16
"""Records written in one transaction."""
GATHER_S = 0.2
"""How long the first record waits for others."""
CLOSE_S = 5.0
"""For what waits when the process ends."""
WARN_S = 60.0

Outcome = Literal["recorded", "skipped", "dropped"]
"""`skipped`: known already, or of a deleted document; `dropped`: lost."""
TaskT = TypeVar("TaskT", bound=Task)
ResultT = TypeVar("ResultT", bound=Result)

logger = logging.getLogger(__name__)


def trace_of(settings: TraceSettings, seen: Filter) -> TraceOf | None:
    """Decides, once a question, whether it is recorded: all its stages or none.

    Args:
        seen: What whoever asks may see.
    """
    question_id = uuid.uuid4()
    if not settings.consent or question_id.int >> 96 >= settings.share * 2**32:
        return None
    return TraceOf(question_id=str(question_id), tenant=seen.tenant, labels=seen.labels)


@dataclass(frozen=True, slots=True)
class Done:
    """A task that a stage did."""

    stage: TracedStage
    task: Task
    result: Result
    replies: Sequence[ModelReply]
    at: datetime


class Recorder:
    """Writes records in a thread of its own, which starts with the first. Safe to share between threads.

    Args:
        traces: Gives where records are kept; called in the thread.
        counted: Hears what became of records.
    """

    def __init__(
        self, traces: Callable[[], Traces], config_version: str, counted: Callable[[Outcome, int], None]
    ) -> None:
        self._traces, self._config_version, self._counted = traces, config_version, counted
        self._waiting: queue.Queue[Done | None] = queue.Queue(WAITING)
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._warn_at = float("-inf")

    def put(self, done: Done) -> None:
        """Hands a task over. Returns at once; where too many wait, it is lost."""
        if self._closed:
            return
        if self._thread is None:
            self._start()
        try:
            self._waiting.put_nowait(done)
        except queue.Full:
            self._drop(1, "more are made than can be written")

    def close(self) -> None:
        """Writes what waits, as far as that takes seconds. Idempotent."""
        self._closed = True
        if self._thread is None:
            return
        try:
            self._waiting.put(None, timeout=CLOSE_S)
        except queue.Full:
            return
        self._thread.join(CLOSE_S)

    def _start(self) -> None:
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="strata-recorder", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while (first := self._waiting.get()) is not None:
            some, last = self._gather(first)
            self._write(some)
            if last:
                return

    def _gather(self, first: Done) -> tuple[list[Done], bool]:
        """Some records, and whether they are the last."""
        some, until = [first], time.monotonic() + GATHER_S
        while len(some) < TOGETHER:
            try:
                done = self._waiting.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                break
            if done is None:
                return some, True
            some.append(done)
        return some, False

    def _write(self, some: Sequence[Done]) -> None:
        try:
            kept = self._traces().record([as_trace(done, self._config_version) for done in some])
        except StrataError as error:
            self._drop(len(some), error.code)
        except Exception as error:  # the boundary of the thread; the message may quote a question
            self._drop(len(some), type(error).__name__)
        else:
            self._counted("recorded", kept)
            self._counted("skipped", len(some) - kept)

    def _drop(self, records: int, reason: str) -> None:
        self._counted("dropped", records)
        if time.monotonic() >= self._warn_at:
            self._warn_at = time.monotonic() + WARN_S
            logger.warning("records of stages are lost: %s", reason)


class RecordingRunner:
    """A `Runner` that has what another one does recorded, where the task says so."""

    def __init__(self, runner: Runner, recorder: Recorder) -> None:
        self._runner, self._recorder = runner, recorder

    async def plan(self, task: PlanTask) -> PlanResult:
        """The runner's plan."""
        return await self._recorded("plan", self._runner.plan, task)

    async def prune(self, task: PruneTask) -> PruneResult:
        """The runner's evidence."""
        return await self._recorded("prune", self._runner.prune, task)

    async def cite(self, task: CiteTask) -> CiteResult:
        """The runner's citations."""
        return await self._recorded("cite", self._runner.cite, task)

    async def _recorded(self, stage: TracedStage, work: Callable[[TaskT], Awaitable[ResultT]], task: TaskT) -> ResultT:
        if task.trace is None:
            return await work(task)
        with listening() as replies:
            result = await work(task)
        self._recorder.put(Done(stage, task, result, tuple(replies), datetime.now(UTC)))
        return result


def as_trace(done: Done, config_version: str) -> Trace:
    """What is kept of a task."""
    whose, receipt = done.task.trace, done.result.receipt
    assert whose is not None
    task = done.task.model_dump(mode="json", exclude={"trace"})
    return Trace(
        id=_id(whose.question_id, done.stage, task),
        tenant=whose.tenant,
        question_id=whose.question_id,
        stage=done.stage,
        created_at=done.at,
        config_version=config_version,
        tier=receipt.tier,
        model=receipt.model,
        labels=whose.labels,
        task=task,
        result=done.result.model_dump(mode="json"),
        replies=[reply.model_dump(mode="json") for reply in done.replies],
        parse=_parse(done.replies),
        fallback=receipt.fallback,
        scores=_scores(done.result),
        document_ids=_documents(done.task),
    )


def _id(question_id: str, stage: str, task: dict[str, Any]) -> str:
    """The same for a task that was sent twice: what is left of its time and money is no part of it."""
    said = {name: value for name, value in task.items() if name not in ("timeout_s", "cost_left_usd")}
    return str(uuid.uuid5(uuid.UUID(question_id), f"{stage} {json.dumps(said, sort_keys=True)}"))


def _parse(replies: Sequence[ModelReply]) -> Parse:
    if not replies:
        return "none"
    if not replies[-1].of_schema:
        return "failed"
    return "ok" if all(reply.of_schema for reply in replies) else "retried"


def _scores(result: Result) -> dict[str, Any]:
    if isinstance(result, PruneResult):
        evidence = result.evidence
        return {"sufficiency": evidence.sufficiency, "sufficient": evidence.sufficient, "kept": len(evidence.items)}
    if isinstance(result, CiteResult):
        supports = [citation.support for citation in result.citations]
        return {"supports": supports, "unsupported": len(result.unsupported)}
    return {}


def _documents(task: Task) -> tuple[str, ...]:
    if isinstance(task, PruneTask):
        found = [hit.passage.document_id for hit in task.hits]
    elif isinstance(task, CiteTask):
        found = [item.passage.document_id for item in task.evidence.items]
    else:
        found = []
    return tuple(sorted(set(found)))
