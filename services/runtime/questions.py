"""The question side of a process: models, heads, the small stages and where they run, and what answers with them."""

import threading
from functools import cached_property
from typing import TYPE_CHECKING

from pipelines.core.encoders import Heads
from pipelines.core.encoders.spec import HEADS
from pipelines.core.events import Emit, ignore
from pipelines.core.models import ModelTiers, check
from pipelines.core.settings import Settings
from pipelines.core.store import Fusion, RankedQuery
from pipelines.core.types import Answer, Filter, Hit, Question
from services.heads.watch import HeadWatch
from services.loop import EventLoop
from services.questions.asking import Asking
from services.questions.batch import BatchAnswering
from services.questions.recording import Recorder, RecordingRunner
from services.questions.stages import Stages
from services.runtime.stores import Stores

if TYPE_CHECKING:
    from haystack import Pipeline

    from pipelines.core.tasks import Runner
    from services.queue.client import QueueClient


class QuestionSide(Stores):
    """What works on questions.

    Args:
        remote_stages: The small stages run on workers, by way of `queue`, which is to be started first.

    Raises:
        ConfigurationError: a stage's model is unknown, cannot do the stage's job, or lacks its key.
    """

    def __init__(self, settings: Settings, *, remote_stages: bool = False) -> None:
        check(settings.models, settings.stages)
        super().__init__(settings)
        self._remote_stages = remote_stages
        self._readying = threading.Lock()

    # --- Models ----------------------------------------------------------------------------------------------------

    @cached_property
    def tiers(self) -> ModelTiers:
        """The models of the configuration; LiteLLM loads on first use."""
        return ModelTiers(self.settings.models, self.settings.model_calls, observe=self.metrics.called)

    @cached_property
    def heads(self) -> Heads:
        """The heads of the in-process stages; each loads when a stage first asks for it."""
        return Heads(self.settings.encoder, self.settings.heads)

    @cached_property
    def head_watch(self) -> HeadWatch:
        """Keeps the heads that this process works with at the accepted versions."""
        return self._closing(
            HeadWatch(
                self.settings.heads,
                lambda: self.heads,
                versions=lambda: self.head_versions,
                store=lambda: self.head_store,
                swapped=self.metrics.head_swapped,
            )
        )

    # --- Stages ----------------------------------------------------------------------------------------------------

    @cached_property
    def stages(self) -> Stages:
        """The small stages and the writer, with their models."""
        return Stages(self.settings, tiers=lambda: self.tiers, encoder=lambda: self.encoder, heads=lambda: self.heads)

    @cached_property
    def runner(self) -> "Runner":
        """Where the small stages run: here, or on workers."""
        return self.queue.runner if self._remote_stages else self._recorded(self.stages.inline)

    @cached_property
    def queue(self) -> "QueueClient":
        """The way to the workers."""
        from services.queue.client import QueueClient

        return QueueClient(self.settings, self._recorded(self.stages.lesser), self.metrics.hedged)

    @cached_property
    def recorder(self) -> Recorder:
        """Writes what the small stages of this process do; only where that is consented to."""
        return Recorder(lambda: self.traces, self.config_version, self.metrics.traced)

    def _recorded(self, runner: "Runner") -> "Runner":
        return RecordingRunner(runner, self.recorder) if self.settings.traces.consent else runner

    # --- Questions -------------------------------------------------------------------------------------------------

    @cached_property
    def answer_pipeline(self) -> "Pipeline":
        """The question path."""
        from pipelines.answer import build_answer_pipeline

        return build_answer_pipeline(
            self.settings,
            runner=self.runner,
            writer=self.stages.writer,
            encoder=self.encoder,
            store=self.store,
            config_version=self.config_version,
        )

    @cached_property
    def asking(self) -> Asking:
        """Answers questions."""
        return Asking(
            self.settings,
            pipeline=self._ready_pipeline,
            receipts=lambda: self.ledger.receipts,
            stages=self.stages,
            metrics=self.metrics,
        )

    @cached_property
    def batches(self) -> BatchAnswering:
        """Answers batches of questions."""
        return BatchAnswering(
            self.batch_ledger,
            ask=self.ask,
            loop=lambda: self.loop,
            concurrency=self.settings.batch.concurrency,
            lease_s=self.settings.ingest.lease_s,
        )

    @cached_property
    def loop(self) -> EventLoop:
        """The event loop of this process's threads; the API puts its own in its place."""
        loop = EventLoop()
        self._closers.append(lambda: self._end_loop(loop))
        return loop

    def warm_up(self) -> None:
        """Opens the index and loads what questions need, so that the first one is not slower than the next."""
        self.encoder.warm_up()
        self._ready_pipeline()

    def _ready_pipeline(self) -> "Pipeline":
        with self._readying:
            self.tiers.warm_up()
            if not self._remote_stages:
                self.head_watch.follow(HEADS)
        return self.answer_pipeline

    async def ask(self, question: Question, emit: Emit = ignore) -> Answer:
        """Answers a question and keeps its receipt; see `Asking.ask`."""
        return await self.asking.ask(question, emit)

    def search(self, text: str, *, limit: int = 10, filter: Filter | None = None) -> list[Hit]:
        """Finds passages for one query, best first, with the fusion that questions use.

        Raises:
            InvalidRequestError: the text is empty or too long.
        """
        self.asking.check(Question(text=text))
        fusion = Fusion.of(self.settings.retrieve)
        vector = self.encoder.embed([text]).vectors[0]
        return self.store.search([RankedQuery(text, vector)], limit=limit, fusion=fusion, filter=filter)

    # --- End -------------------------------------------------------------------------------------------------------

    def _end_loop(self, loop: EventLoop) -> None:
        if self._built("tiers"):
            loop.run(self.tiers.aclose())
        loop.close()

    async def aclose(self) -> None:
        """Closes model connections and the queue in the loop that used them, then everything else."""
        if self._built("queue"):
            await self.queue.aclose()
        if self._built("tiers"):
            await self.tiers.aclose()
        self.close()

    def close(self) -> None:
        """Closes what was opened, the recorder first. Idempotent."""
        if self._built("recorder"):  # first: it writes what waits
            self.recorder.close()
        super().close()
