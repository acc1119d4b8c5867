"""Figures for Prometheus, in a registry of the app's own. Every label has few values: never an id, a text or a path."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from pipelines.core.errors import StrataError
from pipelines.core.state import Ledger
from pipelines.core.types import Answer

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Metrics:
    """Counts what the service does."""

    def __init__(self, ledger: Ledger) -> None:
        self._registry = registry = CollectorRegistry()
        registry.register(_Documents(ledger))
        self.answers = Counter("strata_answers", "Questions by how they ended.", ["status"], registry=registry)
        self.answering = Gauge("strata_questions_in_progress", "Questions being answered.", registry=registry)
        self._stage_seconds = Histogram(
            "strata_stage_seconds", "Wall time of a stage.", ["stage"], buckets=SECONDS, registry=registry
        )
        stage = ["stage", "tier"]
        self._calls = Counter("strata_stage_calls", "Model calls.", stage, registry=registry)
        self._tokens = Counter("strata_stage_tokens", "Tokens.", [*stage, "direction"], registry=registry)
        self._cost = Counter("strata_stage_cost_usd", "Cost where the price is known.", stage, registry=registry)
        self._fallbacks = Counter("strata_stage_fallbacks", "Ways taken instead.", stage, registry=registry)
        http = ["method", "route", "status"]
        self._requests = Counter("strata_http_requests", "Requests.", http, registry=registry)
        self._request_seconds = Histogram(
            "strata_http_request_seconds",
            "Time to the end of the response.",
            http[:2],
            buckets=SECONDS,
            registry=registry,
        )

    def answered(self, answer: Answer) -> None:
        """Counts an answer and what its stages took."""
        self.answers.labels(answer.status.value).inc()
        for stage in answer.receipt.stages:
            names = (stage.stage, stage.tier)
            self._stage_seconds.labels(stage.stage).observe(stage.ms / 1000)
            self._calls.labels(*names).inc(stage.usage.calls)
            self._tokens.labels(*names, "in").inc(stage.usage.tokens_in)
            self._tokens.labels(*names, "out").inc(stage.usage.tokens_out)
            self._cost.labels(*names).inc(stage.usage.cost_usd or 0.0)
            if stage.fallback:
                self._fallbacks.labels(*names).inc()

    def requested(self, method: str, route: str, status: int, seconds: float) -> None:
        """Counts a request. `route` is a template such as `/v1/documents/{id}`."""
        method = method if method in METHODS else "other"
        self._requests.labels(method, route, str(status)).inc()
        self._request_seconds.labels(method, route).observe(seconds)

    def text(self) -> bytes:
        """The exposition format. Asks the ledger."""
        return generate_latest(self._registry)


class _Documents(Collector):
    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def describe(self) -> list[Metric]:
        """Nothing, or registering would ask the ledger."""
        return []

    def collect(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("strata_state_up", "Whether the state database can be reached.")
        try:
            counts = self._ledger.counts()
        except StrataError:
            up.add_metric([], 0)
            yield up
            return
        up.add_metric([], 1)
        yield up
        documents = GaugeMetricFamily("strata_documents", "Documents.", labels=["status"])
        for status, number in counts.documents.items():
            documents.add_metric([status.value], number)
        yield documents
        oldest = GaugeMetricFamily("strata_oldest_queued_seconds", "How long the oldest queued document waits.")
        oldest.add_metric([], counts.oldest_queued_s or 0.0)
        yield oldest
