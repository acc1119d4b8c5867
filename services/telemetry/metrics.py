"""Figures for Prometheus, in a registry of the process's own. Every label has few values: never an id, text or path.

`docs/observability.md` lists them all; a test holds it to that.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
    start_http_server,
)
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from pipelines.core.errors import ConfigurationError, StrataError
from pipelines.core.models import ModelCall
from pipelines.core.settings import TelemetrySettings
from pipelines.core.types import Answer, StageReceipt

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

Read = Callable[[], Iterable[Metric]]
"""Reads figures when somebody asks for them. Must not raise."""


class Metrics:
    """Counts what a process does. Safe to share between threads.

    Args:
        config_version: Of the settings, for `strata_build_info`.
    """

    def __init__(self, config_version: str) -> None:
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        build = Gauge("strata_build_info", "Always 1.", ["version", "config_version"], registry=registry)
        build.labels(_version(), config_version).set(1)
        self._http(registry)
        self._questions(registry)
        self._models(registry)
        self._work(registry)

    # --- What happens ----------------------------------------------------------------------------------------------

    def requested(self, method: str, route: str, status: int, seconds: float, problem: str | None = None) -> None:
        """Counts a request.

        Args:
            route: A template such as `/v1/documents/{id}`.
            problem: Code of the problem that was answered, if one was.
        """
        method = method if method in METHODS else "other"
        self._requests.labels(method, route, str(status)).inc()
        self._request_seconds.labels(method, route).observe(seconds)
        if problem is not None:
            self._problems.labels(problem).inc()

    @contextmanager
    def answering(self) -> Iterator[None]:
        """A question is being answered. One that ends without an answer is counted here, others by `answered`."""
        with self._in_progress.track_inprogress():
            try:
                yield
            except Exception as error:
                self._answers.labels("error").inc()
                self._errors.labels(error.code if isinstance(error, StrataError) else StrataError.code).inc()
                raise
            except BaseException:  # cancelled
                self._answers.labels("client_left").inc()
                raise

    def answered(self, answer: Answer) -> None:
        """Counts an answer."""
        self._answers.labels(answer.status.value).inc()
        self._answer_seconds.observe(answer.receipt.total_ms / 1000)

    def stage(self, receipt: StageReceipt) -> None:
        """Counts a stage, also of a question that fails later."""
        names = (receipt.stage, receipt.tier)
        self._stage_seconds.labels(receipt.stage).observe(receipt.ms / 1000)
        self._stage_calls.labels(*names).inc(receipt.usage.calls)
        self._stage_tokens.labels(*names, "in").inc(receipt.usage.tokens_in)
        self._stage_tokens.labels(*names, "out").inc(receipt.usage.tokens_out)
        self._stage_cost.labels(*names).inc(receipt.usage.cost_usd or 0.0)
        if receipt.fallback:
            self._fallbacks.labels(*names).inc()

    def hedged(self, stage: str) -> None:
        """Counts a task that was sent a second time, because its worker kept the question waiting."""
        self._hedges.labels(stage).inc()

    def traced(self, outcome: str, records: int) -> None:
        """Counts records of stages: `recorded`, `skipped` or `dropped`."""
        self._traces.labels(outcome).inc(records)

    def head_swapped(self, head: str, version: str, outcome: str) -> None:
        """Counts a version of a head that was to become live here, `live` or `refused`, and shows which one is.

        Args:
            version: `shipped` for the one that comes with Strata.
        """
        self._swaps.labels(head, outcome).inc()
        if outcome == "live":
            self._live_heads.remove_by_labels({"head": head})
            self._live_heads.labels(head, version).set(1)

    def called(self, call: ModelCall) -> None:
        """Counts a request to a provider of models, whatever became of it."""
        self._calls.labels(call.tier, call.outcome).inc(call.usage.calls)
        self._call_seconds.labels(call.tier).observe(call.usage.model_ms / 1000)
        self._tokens.labels(call.tier, "in").inc(call.usage.tokens_in)
        self._tokens.labels(call.tier, "out").inc(call.usage.tokens_out)
        self._cost.labels(call.tier).inc(call.usage.cost_usd or 0.0)
        if call.usage.cost_usd is None:
            self._unpriced.labels(call.tier).inc()

    def worked(self, role: str, outcome: str, seconds: float) -> None:
        """Counts a task that a worker took: `ok`, `cancelled`, or the code of the error."""
        self._tasks.labels(role, outcome).inc()
        self._task_seconds.labels(role).observe(seconds)

    def indexed(self, passages: int, size_bytes: int) -> None:
        """Counts a document that searches now find."""
        self._documents.labels("indexed").inc()
        self._passages.inc(passages)
        self._bytes.inc(size_bytes)

    def not_indexed(self, *, again: bool) -> None:
        """Counts a try of a document that failed: for good, or to be tried again."""
        self._documents.labels("retried" if again else "failed").inc()

    # --- Who asks --------------------------------------------------------------------------------------------------

    def watch(self, read: Read) -> None:
        """Adds figures that are read whenever somebody asks."""
        self._registry.register(_Watched(read))

    def text(self) -> bytes:
        """The exposition format."""
        return generate_latest(self._registry)

    @contextmanager
    def exposed(self, settings: TelemetrySettings) -> Iterator[int | None]:
        """Serves the figures without a key while the block runs, where `telemetry.metrics_port` says so.

        Yields:
            The port, `None` where it says nothing.

        Raises:
            ConfigurationError: the port cannot be used.
        """
        if settings.metrics_port is None:
            yield None
            return
        address = f"{settings.metrics_host}:{settings.metrics_port}"
        try:
            server, thread = start_http_server(settings.metrics_port, settings.metrics_host, self._registry)
        except OSError as error:
            raise ConfigurationError(
                f"telemetry.metrics_port: {address} cannot be used ({error.strerror}); choose another."
            ) from error
        try:
            yield server.server_port
        finally:
            server.shutdown()
            server.server_close()
            thread.join()

    # --- Their names -----------------------------------------------------------------------------------------------

    def _http(self, registry: CollectorRegistry) -> None:
        http = ["method", "route", "status"]
        self._requests = Counter("strata_http_requests", "Requests.", http, registry=registry)
        self._request_seconds = Histogram(
            "strata_http_request_seconds", "Time to the end of the response.", http[:2], buckets=SECONDS,
            registry=registry,
        )  # fmt: skip
        self._problems = Counter("strata_http_problems", "Requests refused or failed.", ["code"], registry=registry)

    def _questions(self, registry: CollectorRegistry) -> None:
        self._answers = Counter("strata_answers", "Questions by how they ended.", ["status"], registry=registry)
        self._errors = Counter("strata_question_errors", "Questions without answer.", ["code"], registry=registry)
        self._in_progress = Gauge("strata_questions_in_progress", "Questions being answered.", registry=registry)
        self._answer_seconds = Histogram(
            "strata_answer_seconds", "Wall time of a question with an answer.", buckets=SECONDS, registry=registry
        )
        stage = ["stage", "tier"]
        self._stage_seconds = Histogram(
            "strata_stage_seconds", "Wall time of a stage.", stage[:1], buckets=SECONDS, registry=registry
        )
        self._stage_calls = Counter("strata_stage_calls", "Model calls of a stage.", stage, registry=registry)
        self._stage_tokens = Counter("strata_stage_tokens", "Tokens.", [*stage, "direction"], registry=registry)
        self._stage_cost = Counter("strata_stage_cost_usd", "Cost, where known.", stage, registry=registry)
        self._fallbacks = Counter("strata_stage_fallbacks", "Ways taken instead.", stage, registry=registry)
        self._hedges = Counter("strata_stage_hedges", "Tasks sent a second time.", stage[:1], registry=registry)
        self._traces = Counter("strata_traces", "Records of stages.", ["outcome"], registry=registry)
        self._swaps = Counter("strata_head_swaps", "Versions of heads.", ["head", "outcome"], registry=registry)
        self._live_heads = Gauge("strata_head_live", "Always 1.", ["head", "version"], registry=registry)

    def _models(self, registry: CollectorRegistry) -> None:
        tier = ["tier"]
        self._calls = Counter("strata_model_calls", "Requests to providers.", [*tier, "outcome"], registry=registry)
        self._call_seconds = Histogram(
            "strata_model_call_seconds", "Time of a request to a provider.", tier, buckets=SECONDS, registry=registry
        )
        self._tokens = Counter("strata_model_tokens", "Tokens of requests.", [*tier, "direction"], registry=registry)
        self._cost = Counter("strata_model_cost_usd", "Cost of requests, where known.", tier, registry=registry)
        self._unpriced = Counter("strata_model_unpriced_calls", "Requests of unknown cost.", tier, registry=registry)

    def _work(self, registry: CollectorRegistry) -> None:
        self._tasks = Counter("strata_worker_tasks", "Tasks taken.", ["role", "outcome"], registry=registry)
        self._task_seconds = Histogram(
            "strata_worker_task_seconds", "Time of a task.", ["role"], buckets=SECONDS, registry=registry
        )
        self._documents = Counter("strata_ingested_documents", "Tries of documents.", ["outcome"], registry=registry)
        self._passages = Counter("strata_ingested_passages", "Passages indexed.", registry=registry)
        self._bytes = Counter("strata_ingested_bytes", "Bytes of documents indexed.", registry=registry)


class _Watched(Collector):
    def __init__(self, read: Read) -> None:
        self._read = read

    def describe(self) -> list[Metric]:
        """Nothing, or registering would read."""
        return []

    def collect(self) -> Iterable[Metric]:
        """The figures now."""
        return self._read()


def _version() -> str:
    try:
        return version("strata-rag")
    except PackageNotFoundError:
        return "source"
