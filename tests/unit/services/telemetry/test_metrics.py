"""Figures: their names, what they count, who may ask."""

import re
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from pipelines.core.errors import DeadlineExceededError, StateUnavailableError
from pipelines.core.models import ModelCall
from pipelines.core.settings import TelemetrySettings
from pipelines.core.state import Batches, Database, Fleet, Ledger, sqlite_url
from pipelines.core.types import StageReceipt, Usage
from services.telemetry import gauges
from services.telemetry.metrics import Metrics

DOCUMENT = Path(__file__).parents[4] / "docs" / "observability.md"


def figures(metrics: Metrics) -> dict[str, float]:
    return {
        sample.name + "".join(f"|{value}" for _, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(metrics.text().decode())
        for sample in family.samples
    }


@pytest.fixture
def metrics() -> Metrics:
    return Metrics("config-1")


@pytest.fixture
def watching(metrics: Metrics, tmp_path: Path) -> Metrics:
    """All figures of an API process."""
    database = Database(sqlite_url(tmp_path / "state.sqlite"))
    fleet = Fleet(database)
    fleet.beat(["plan", "prune"], busy=["prune"], worker="one")
    metrics.watch(gauges.state(Ledger(database), Batches(database), fleet))
    metrics.watch(gauges.queue(lambda: True, lambda: {"plan": (3, 1.5)}))
    metrics.watch(gauges.breakers)
    return metrics


def test_a_failed_question_counts_what_it_spent(metrics: Metrics) -> None:
    spent = Usage(calls=1, tokens_in=100, tokens_out=7, cost_usd=0.25)
    with pytest.raises(DeadlineExceededError), metrics.answering():  # noqa: PT012
        metrics.stage(StageReceipt(stage="plan", tier="small", model="m", usage=spent, ms=20))
        metrics.called(ModelCall("large", "left", Usage(calls=1, tokens_in=900, tokens_out=3, cost_usd=None)))
        raise DeadlineExceededError("too late", spent)
    found = figures(metrics)
    assert found["strata_answers_total|error"] == 1
    assert found["strata_question_errors_total|deadline_exceeded"] == 1
    assert found["strata_stage_cost_usd_total|plan|small"] == 0.25
    assert found["strata_model_tokens_total|in|large"] == 900
    assert found["strata_model_unpriced_calls_total|large"] == 1
    assert found["strata_questions_in_progress"] == 0


def test_what_waits_and_who_works_is_read_when_somebody_asks(watching: Metrics) -> None:
    found = figures(watching)
    assert found["strata_queue_messages|plan"] == 3
    assert found["strata_queue_oldest_message_seconds|plan"] == 1.5
    assert found["strata_workers|plan"] == found["strata_workers_busy|prune"] == 1
    assert found["strata_workers|ingest"] == found["strata_workers_busy|plan"] == 0
    assert found["strata_documents|queued"] == found["strata_batch_questions|failed"] == 0
    assert found["strata_state_up"] == found["strata_queue_up"] == 1


def test_a_state_that_is_away_leaves_the_other_figures(metrics: Metrics, monkeypatch: pytest.MonkeyPatch) -> None:
    class Away(Ledger):
        def __init__(self) -> None:
            pass

        def counts(self, tenant: str | None = None) -> None:  # type: ignore[override]
            raise StateUnavailableError("away")

    metrics.watch(gauges.state(Away(), None, None))  # type: ignore[arg-type]
    found = figures(metrics)
    assert found["strata_state_up"] == 0
    assert found["strata_build_info|config-1|" + next(n for n in found if n.startswith("strata_build")).split("|")[2]]


def test_every_figure_is_in_the_document_and_the_other_way_round(watching: Metrics) -> None:
    families = {family.name: family for family in text_string_to_metric_families(watching.text().decode())}
    described = {}
    for name, labels in re.findall(r"^\| `(strata_\w+)` \|([^|]*)\|", DOCUMENT.read_text(), re.MULTILINE):
        described[name.removesuffix("_total")] = set(re.findall(r"`(\w+)`", labels))
    assert set(described) == {name for name in families if name.startswith("strata_") and not name.endswith("_created")}
    for name, family in families.items():
        for sample in family.samples:
            if name in described and not sample.name.endswith("_created"):
                assert set(sample.labels) - {"le"} == described[name], name


@pytest.mark.network
def test_they_are_served_without_a_key_where_that_is_wanted(metrics: Metrics) -> None:
    with metrics.exposed(TelemetrySettings()) as port:
        assert port is None
    with metrics.exposed(TelemetrySettings(metrics_port=0)) as port:
        served = httpx.get(f"http://127.0.0.1:{port}/metrics")
        assert served.headers["content-type"].startswith("text/plain")
        assert "strata_build_info" in served.text
        assert "process_resident_memory_bytes" in served.text
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{port}/metrics")
