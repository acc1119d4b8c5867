"""The composition root: settings in, working objects out. Each part is built when first needed, once a process."""

import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

from pipelines.core.blobs import BlobStore, make_blobs
from pipelines.core.encoders import Encoder, Heads
from pipelines.core.encoders.cache import ModelCache
from pipelines.core.encoders.spec import HEADS
from pipelines.core.events import Emit, ignore
from pipelines.core.models import ModelTiers, check
from pipelines.core.settings import Role, Settings
from pipelines.core.state import (
    Batches,
    Database,
    Fleet,
    HeadVersions,
    Keys,
    Ledger,
    Retention,
    Sources,
    Traces,
    sqlite_url,
)
from pipelines.core.store import Fusion, RankedQuery, Schema, Store, make_store
from pipelines.core.types import Answer, Filter, Hit, Question
from services.config import config_version
from services.documents.ingestion import Ingestion
from services.documents.intake import Intake
from services.documents.reindex import Reindexer
from services.documents.sweep import Sweeper
from services.documents.sync import Syncs
from services.documents.watch import IngestWatch
from services.heads.versions import HeadStore
from services.heads.watch import HeadWatch
from services.loop import EventLoop
from services.questions.asking import Asking
from services.questions.batch import BatchAnswering
from services.questions.recording import Recorder, RecordingRunner
from services.questions.stages import HEADS_OF, Stages
from services.telemetry.metrics import Metrics
from services.work import Nudge, Work

if TYPE_CHECKING:
    from haystack import Pipeline

    from indexing.convert import FileConverter
    from indexing.stream import Outcome, Wanted
    from indexing.stream import Submission as PipelineSubmission
    from pipelines.core.tasks import Runner
    from services.queue.client import QueueClient

T = TypeVar("T")
logger = logging.getLogger(__name__)


class Runtime:
    """Everything that one process of Strata needs, shared between its threads and tasks.

    Building one reads nothing and loads nothing. Use it as a context manager, or call `close`; in an event loop that
    asked questions, `await aclose()`.

    Args:
        remote_stages: The small stages run on workers, by way of `queue`, which is to be started first.

    Raises:
        ConfigurationError: a stage's model is unknown, cannot do the stage's job, or lacks its key.
    """

    def __init__(self, settings: Settings, *, remote_stages: bool = False) -> None:
        check(settings.models, settings.stages)
        self.settings = settings
        self._remote_stages = remote_stages
        self.config_version = config_version(settings)
        self._building = threading.RLock()
        self._closers: list[Callable[[], None]] = []

    # --- Parts -----------------------------------------------------------------------------------------------------

    @cached_property
    def encoder(self) -> Encoder:
        """The in-process encoder; its model loads on first use."""
        return Encoder(self.settings.encoder)

    @cached_property
    def heads(self) -> Heads:
        """The heads of the in-process stages; each loads when a stage first asks for it."""
        return Heads(self.settings.encoder, self.settings.heads)

    @cached_property
    def tiers(self) -> ModelTiers:
        """The models of the configuration; LiteLLM loads on first use."""
        return ModelTiers(self.settings.models, self.settings.model_calls, observe=self.metrics.called)

    @cached_property
    def metrics(self) -> Metrics:
        """The figures of this process."""
        return Metrics(self.config_version)

    @cached_property
    def blobs(self) -> BlobStore:
        """Submitted files and source texts."""
        return make_blobs(self.settings.blobs, self.settings.data_dir)

    @cached_property
    def database(self) -> Database:
        """The state database, which ledger, keys, batches and sources share."""
        with self._building:
            if "database" in self.__dict__:  # another thread opened it meanwhile
                return self.__dict__["database"]  # type: ignore[no-any-return]
            url = self.settings.state.url
            if url is None:
                self.settings.data_dir.mkdir(parents=True, exist_ok=True)
            address = url.get_secret_value() if url else sqlite_url(self.settings.data_dir / "state.sqlite")
            database = self._closing(Database(address))
            self.__dict__["database"] = database
            return database

    @cached_property
    def ledger(self) -> Ledger:
        """Documents, jobs and receipts."""
        return Ledger(self.database, max_attempts=self.settings.ingest.max_attempts)

    @cached_property
    def keys(self) -> Keys:
        """API keys."""
        return Keys(self.database)

    @cached_property
    def batch_ledger(self) -> Batches:
        """Batches of questions, as they are recorded."""
        return Batches(self.database, max_attempts=self.settings.batch.max_attempts)

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
    def sweeper(self) -> Sweeper:
        """Removes what is not needed any more."""
        retention = Retention(self.database)
        return Sweeper(self.settings, ledger=self.ledger, retention=retention, blobs=self.blobs)

    @cached_property
    def traces(self) -> Traces:
        """Records of the small stages."""
        return Traces(self.database)

    @cached_property
    def head_versions(self) -> HeadVersions:
        """Versions of the heads."""
        return HeadVersions(self.database)

    @cached_property
    def head_store(self) -> HeadStore:
        """Files of versions of heads."""
        return HeadStore(self.head_versions, self.blobs, ModelCache(self.settings.encoder.cache_dir))

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

    @cached_property
    def sources(self) -> Sources:
        """Folders and buckets that documents come from, as they are recorded."""
        return Sources(self.database, max_attempts=self.settings.ingest.max_attempts)

    @cached_property
    def syncs(self) -> Syncs:
        """Looks what is new in sources."""
        return Syncs(
            self.settings,
            self.sources,
            intake=Intake(self.settings, self.blobs, self.encoder.fingerprint),
            fingerprint=self.encoder.fingerprint,
            queued=lambda: self.ledger.queued(),  # noqa: PLW0108  # the ledger opens when it is asked
            nudge=lambda items: self.nudge("ingest", items),
        )

    @cached_property
    def nudge(self) -> Nudge:
        """Tells workers of work that this process found; the worker inside of a process puts its own way here."""
        if not self.settings.distributed:
            return lambda role, items=1: None
        from services.queue.sender import Sender

        return self._closing(Sender(self.settings.queue)).nudge

    @cached_property
    def fleet(self) -> Fleet:
        """The workers that were heard of lately."""
        return Fleet(self.database)

    @cached_property
    def loop(self) -> EventLoop:
        """The event loop of this process's threads; the API puts its own in its place."""
        loop = EventLoop()
        self._closers.append(lambda: self._end_loop(loop))
        return loop

    @cached_property
    def store(self) -> Store:
        """The index, open."""
        with self._building:
            if "store" in self.__dict__:  # another thread opened it meanwhile; an embedded index opens once
                return self.__dict__["store"]  # type: ignore[no-any-return]
            store = self._made_store.open()
            self.__dict__["store"] = store
            return store

    @cached_property
    def _made_store(self) -> Store:
        """The index, not yet open. Kept while opening it fails: it knows for how long its server is left alone."""
        return self._closing(make_store(self.settings.index, self.settings.data_dir, self._schema))

    @property
    def _schema(self) -> Schema:
        """What the index is to be built with."""
        return Schema(encoder=self.encoder.fingerprint, dim=self.encoder.dim)

    @cached_property
    def converter(self) -> "FileConverter":
        """Reads files; its processes start on first use."""
        from indexing.convert import FileConverter

        return self._closing(FileConverter(self.settings.convert))

    @cached_property
    def ingestion(self) -> Ingestion:
        """Accepts documents and works them off."""
        return Ingestion(
            self.settings,
            ledger=self.ledger,
            blobs=self.blobs,
            store=lambda: self.store,
            run=self._ingest,
            fingerprint=self.encoder.fingerprint,
            watch=IngestWatch(self.metrics),
        )

    @cached_property
    def ingest_pipeline(self) -> "Pipeline":
        """The document path."""
        return self._ingest_pipeline(self.store)

    @cached_property
    def reindexer(self) -> Reindexer:
        """Builds the index anew. It opens the index whatever it was built with: use nothing else of this runtime."""
        return Reindexer(
            self.settings,
            self.ledger.reindexes,
            store=self._made_store,
            schema=self._schema,
            pipeline=self._ingest_pipeline,
        )

    def _ingest_pipeline(self, store: Store) -> "Pipeline":
        from indexing.ingest import build_ingest_pipeline

        return build_ingest_pipeline(
            self.settings, converter=self.converter, blobs=self.blobs, encoder=self.encoder, store=store
        )

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

    @cached_property
    def stages(self) -> Stages:
        """The small stages and the writer, with their models."""
        return Stages(self.settings, tiers=lambda: self.tiers, encoder=lambda: self.encoder, heads=lambda: self.heads)

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

    # --- Work ------------------------------------------------------------------------------------------------------

    def warm_up(self) -> None:
        """Opens the index and loads what questions need, so that the first one is not slower than the next."""
        self.encoder.warm_up()
        self._ready_pipeline()

    def warm_up_roles(self, roles: Iterable[Role]) -> None:
        """Loads the models that a worker of these roles needs, and no other. Connects to nothing."""
        for role in roles:
            if role in ("plan", "prune", "cite"):
                self.head_watch.follow(HEADS_OF[role])
                self.stages.warm_up(role)
            elif role == "answers":
                self.tiers.warm_up()
                self.encoder.warm_up()
            elif role == "ingest":
                self.encoder.warm_up()

    @property
    def turns(self) -> Mapping[Role, Work]:
        """What the ledger roles do. Their parts are built at the first turn, which may find a dependency away."""

        def ingest(stop: threading.Event) -> bool:
            waits = self.ingestion.turn(stop)
            self.sweeper.sweep(stop)
            return waits

        def answers(stop: threading.Event) -> bool:
            return self.batches.turn(stop)

        def sync(stop: threading.Event) -> bool:
            return self.syncs.turn(stop)

        return {"ingest": ingest, "answers": answers, "sync": sync}

    async def ask(self, question: Question, emit: Emit = ignore) -> Answer:
        """Answers a question and keeps its receipt; see `Asking.ask`."""
        return await self.asking.ask(question, emit)

    def _ready_pipeline(self) -> "Pipeline":
        with self._building:
            self.tiers.warm_up()
            if not self._remote_stages:
                self.head_watch.follow(HEADS)
        return self.answer_pipeline

    def search(self, text: str, *, limit: int = 10, filter: Filter | None = None) -> list[Hit]:
        """Finds passages for one query, best first, with the fusion that questions use.

        Raises:
            InvalidRequestError: the text is empty or too long.
        """
        self.asking.check(Question(text=text))
        fusion = Fusion.of(self.settings.retrieve)
        vector = self.encoder.embed([text]).vectors[0]
        return self.store.search([RankedQuery(text, vector)], limit=limit, fusion=fusion, filter=filter)

    def _ingest(
        self, submissions: "Iterable[PipelineSubmission]", observer: "Callable[[Outcome], None]", wanted: "Wanted"
    ) -> None:
        from indexing.ingest import ingest

        ingest(self.ingest_pipeline, submissions, observer, wanted)

    # --- End -------------------------------------------------------------------------------------------------------

    def _closing(self, part: T) -> T:
        self._closers.append(part.close)  # type: ignore[attr-defined]
        return part

    def _end_loop(self, loop: EventLoop) -> None:
        if "tiers" in self.__dict__:
            loop.run(self.tiers.aclose())
        loop.close()

    async def aclose(self) -> None:
        """Closes model connections and the queue in the loop that used them, then everything else."""
        if "queue" in self.__dict__:
            await self.queue.aclose()
        if "tiers" in self.__dict__:
            await self.tiers.aclose()
        self.close()

    def close(self) -> None:
        """Closes index, state and converters. Idempotent."""
        if "recorder" in self.__dict__:  # first: it writes what waits
            self.recorder.close()
        while self._closers:
            self._closers.pop()()

    def __enter__(self) -> Self:
        """Gives the runtime, to be closed on leaving."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes."""
        self.close()
