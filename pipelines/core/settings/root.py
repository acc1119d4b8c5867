"""All settings together, and what must fit between sections."""

from pathlib import Path

from pydantic import Field, model_validator

from pipelines.core.settings.documents import ConvertSettings, IngestSettings, SplitSettings
from pipelines.core.settings.encoders import EncoderSettings, HeadSettings
from pipelines.core.settings.models import ModelCallSettings, ModelEntry, StageModels
from pipelines.core.settings.questions import (
    AnswerSettings,
    BatchSettings,
    CiteSettings,
    PlanSettings,
    PruneSettings,
    RetrieveSettings,
    SynthesizeSettings,
)
from pipelines.core.settings.section import Section
from pipelines.core.settings.service import ApiSettings, QueueSettings
from pipelines.core.settings.storage import BlobSettings, IndexSettings, StateSettings
from pipelines.core.settings.telemetry import TelemetrySettings, TraceSettings


class Settings(Section):
    """The root. Built once a process, by `services.config`."""

    data_dir: Path = Field(Path(".strata"), description="Folder of the embedded index, the SQLite state and the blobs.")
    encoder: EncoderSettings = EncoderSettings()
    heads: HeadSettings = HeadSettings()
    index: IndexSettings = IndexSettings()
    state: StateSettings = StateSettings()
    blobs: BlobSettings = BlobSettings()
    models: tuple[ModelEntry, ...] = ()
    stages: StageModels = StageModels()
    model_calls: ModelCallSettings = ModelCallSettings()
    answer: AnswerSettings = AnswerSettings()
    plan: PlanSettings = PlanSettings()
    retrieve: RetrieveSettings = RetrieveSettings()
    prune: PruneSettings = PruneSettings()
    synthesize: SynthesizeSettings = SynthesizeSettings()
    cite: CiteSettings = CiteSettings()
    convert: ConvertSettings = ConvertSettings()
    split: SplitSettings = SplitSettings()
    ingest: IngestSettings = IngestSettings()
    batch: BatchSettings = BatchSettings()
    queue: QueueSettings = QueueSettings()
    api: ApiSettings = ApiSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    traces: TraceSettings = TraceSettings()

    @model_validator(mode="after")
    def _server_has_address(self) -> "Settings":
        if self.index.mode == "server" and not self.index.url:
            raise ValueError("index.mode is `server`: set index.url to the server's address")
        return self

    @model_validator(mode="after")
    def _workers_can_share(self) -> "Settings":
        if not self.distributed:
            return self
        if not self.queue.url.get_secret_value().startswith(("redis://", "rediss://")):
            raise ValueError("queue.url is neither `memory://` nor the address of a Redis: `redis://HOST:PORT/DB`")
        if self.index.mode == "embedded":
            raise ValueError(
                "queue.url names a broker, so several processes share the index: set index.mode to `server`"
            )
        if self.state.url is None or self.state.url.get_secret_value().startswith("sqlite"):
            raise ValueError(
                "queue.url names a broker, so several processes share the state: set state.url to PostgreSQL"
            )
        return self

    @property
    def questions_at_a_time(self) -> int:
        """How many questions one API process answers at a time."""
        return self.api.max_concurrent_questions or (256 if self.distributed else 16)

    @property
    def distributed(self) -> bool:
        """Whether work goes to other processes."""
        return not self.queue.url.get_secret_value().startswith("memory:")
