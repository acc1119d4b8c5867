"""Figures that are read when Prometheus asks: what waits, who works, what is left alone."""

from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from prometheus_client.core import GaugeMetricFamily, Metric

from pipelines.core.breaker import away
from pipelines.core.errors import StrataError
from pipelines.core.settings import ROLES, Role
from pipelines.core.state import Batches, Counts, Fleet, Ledger, QuestionStatus
from services.telemetry.metrics import Read

K = TypeVar("K", bound=str)


def state(ledger: Ledger, batches: Batches, fleet: Fleet) -> Read:
    """What the state database holds: the same whoever asks it, so take one process's figures, or their `max`."""

    def read() -> Iterable[Metric]:
        try:
            found = [*_documents(ledger.counts()), _batches(batches.counts()), *_workers(fleet)]
        except StrataError:
            return [_one("strata_state_up", "Whether the state database can be reached.", 0)]
        return [_one("strata_state_up", "Whether the state database can be reached.", 1), *found]

    return read


def queue(reachable: Callable[[], bool], depths: Callable[[], Mapping[Role, tuple[int, float]]]) -> Read:
    """What waits on the broker.

    Args:
        depths: Messages that wait for each role, and for how many seconds the oldest of them.
    """

    def read() -> Iterable[Metric]:
        now = depths()
        waiting = {role: messages for role, (messages, _) in now.items()}
        oldest = {role: age_s for role, (_, age_s) in now.items()}
        return [
            _one("strata_queue_up", "Whether the broker can be reached.", reachable()),
            _each("strata_queue_messages", "Messages that wait.", "role", waiting),
            _each("strata_queue_oldest_message_seconds", "How long the oldest waits.", "role", oldest),
        ]

    return read


def breakers() -> Iterable[Metric]:
    """Dependencies that are left alone because they failed: a `Read`."""
    return [_each("strata_breaker_open", "Whether a dependency is left alone.", "dependency", away())]


def _documents(counts: Counts) -> list[Metric]:
    oldest_s = counts.oldest_queued_s or 0.0
    return [
        _each("strata_documents", "Documents.", "status", counts.documents),
        _one("strata_documents_oldest_queued_seconds", "How long the oldest queued document waits.", oldest_s),
    ]


def _batches(counts: Mapping[QuestionStatus, int]) -> Metric:
    return _each("strata_batch_questions", "Questions of batches.", "status", counts)


def _workers(fleet: Fleet) -> list[Metric]:
    workers = fleet.workers()
    alive = {role: sum(role in worker.roles for worker in workers) for role in ROLES}
    busy = {role: sum(role in worker.busy for worker in workers) for role in ROLES}
    return [
        _each("strata_workers", "Worker processes that were heard of lately.", "role", alive),
        _each("strata_workers_busy", "Those of them that are at work.", "role", busy),
    ]


def _one(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=float(value))


def _each(name: str, text: str, label: str, values: Mapping[K, float]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=[label])
    for each, value in values.items():
        family.add_metric([str(each)], float(value))
    return family
