"""What a worker process lets be seen: its part of the trace, its figures, a log without what people wrote."""

import json
import time

import httpx
import pytest

from pipelines.core import tracing
from pipelines.core.tasks import PlanTask
from pipelines.core.types import Question
from services.telemetry.logs import logging_as
from services.telemetry.tracing import exporting
from tests.support.collector import collector
from tests.support.model_stub import ModelStub, Reply, Status
from tests.support.stage_workers import StageWorkers, asking

pytestmark = pytest.mark.network

MARK = "Zanzibar-whispered-7431"
KEY = "sk-stub"
REWRITE = json.dumps({"standalone": f"{MARK} rewritten", "queries": [f"{MARK} searched"]})


async def test_a_task_on_a_worker_is_seen_and_not_overheard(
    workers: StageWorkers, stub: ModelStub, capfd: pytest.CaptureFixture[str]
) -> None:
    with collector() as taking:
        telemetry = {"otlp_endpoint": taking.url, "log_level": "DEBUG", "log_format": "json", "metrics_port": 0}
        settings = workers.configure(telemetry=telemetry, plan={"timeout_s": 15.0})
        worker = workers.start("plan")
        stub.script("small", [Reply(REWRITE), *[Status(500, f"cannot serve {MARK} to {KEY}")] * 2])
        request = tracing.request_id.set("request-17")
        with logging_as(settings, "api"), exporting(settings.telemetry, "strata-api"):
            async with asking(settings) as queue:
                with tracing.span("question") as root:
                    question_trace = root.get_span_context().trace_id.to_bytes(16, "big")
                    task = PlanTask(question=Question(text=f"Who is {MARK}?"), timeout_s=30)
                    assert not (await queue.runner.plan(task)).receipt.fallback
                    assert (await queue.runner.plan(task)).receipt.fallback  # the model failed
        tracing.request_id.reset(request)
        figures = _figures(worker.log.read_text())
        worker.stop()  # sends its last spans
    spans = [span for span in taking.spans if span.trace_id == question_trace]
    ways = {span.span_id for span in spans if span.name == "plan on a worker"}
    stages = [span for span in spans if span.name == "plan"]
    assert len(stages) == 2
    assert {span.parent_span_id for span in stages} <= ways
    calls = [span for span in spans if span.name == "chat small"]
    assert {span.parent_span_id for span in calls} == {span.span_id for span in stages}
    about = {each.key: each.value for each in calls[0].attributes}
    assert about["gen_ai.request.model"].string_value == "small"
    assert about["gen_ai.usage.output_tokens"].int_value == stub.calls()[0].tokens_out
    assert 'strata_worker_tasks_total{outcome="ok",role="plan"} 2.0' in figures
    assert 'strata_model_calls_total{outcome="unavailable",tier="small"} 2.0' in figures
    lines = [json.loads(line) for line in worker.log.read_text().splitlines()]
    assert {line["process"] for line in lines} == {"worker"}
    everything = worker.log.read_text() + capfd.readouterr().err + figures + repr(taking.bodies)
    assert MARK not in everything
    assert KEY not in everything


def _figures(log: str) -> str:
    """What the worker serves, once it has counted."""
    told = next(line for line in map(json.loads, log.splitlines()) if "figures at" in line["message"])
    end = time.monotonic() + 30
    while 'role="plan"} 2.0' not in (text := httpx.get(told["message"].rpartition(" ")[2]).text):
        assert time.monotonic() < end, text
    return text
