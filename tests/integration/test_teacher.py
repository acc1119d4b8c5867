"""A teacher over real HTTP: bounded, resumed, paid for once; what comes of its labels for heads and for TRL."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pipelines.cite import assemble, read_claims
from pipelines.core.models import ModelReply, ModelTiers
from pipelines.core.settings import LitellmParams, ModelCallSettings, ModelEntry, Settings
from pipelines.core.state import Database, TraceFilter, Traces, sqlite_url
from pipelines.core.tasks import CiteTask, PlanResult, PlanTask, PruneResult, PruneTask, Result, Task, TraceOf
from pipelines.core.types import Draft, Plan, Question, StageReceipt, Turn
from services.questions.recording import Done, as_trace
from services.training.examples import Example, read_examples, write_examples
from services.training.traffic.preferences import preferences_of
from services.training.traffic.records import examples_of
from services.training.traffic.scrub import Scrubber
from services.training.traffic.teacher import Labelling, Teacher
from tests.support.evidence import evidence, hits, passage
from tests.support.model_stub import Behaviour, ModelStub, Raw, Reply, Request, Status

pytestmark = pytest.mark.network

ALL = TraceFilter()
SETTINGS = Settings()
TOWER = passage("Mail ann@tower.example first.", "The tower is 336 metres tall.", document="a", title="Towers")
TUNNEL = passage("The tunnel is 57 km long.", document="b")
PRUNED = {"keep": [{"passage": 1, "sentences": [2]}], "answerable": True}
REWRITE = {"standalone": "How tall is the Millau tower?", "queries": []}
BOUND = {"bindings": [{"claim": 1, "sources": [2]}, {"claim": 2, "sources": []}]}


def teach(request: Request) -> Behaviour:
    system = request.messages[0]["content"]
    found = REWRITE if "prepare searches" in system else PRUNED if "choose evidence" in system else BOUND
    return Reply(json.dumps(found))


@pytest.fixture
def traces(tmp_path: Path) -> Iterator[Traces]:
    database = Database(sqlite_url(tmp_path / "state.sqlite"))
    yield Traces(database)
    database.close()


def record(traces: Traces, stage: str, task: Task, result: Result, *replies: dict[str, Any] | str) -> None:
    """A stage's record, without its documents, which the ledger of these tests does not have."""
    heard = [
        ModelReply(
            tier="small", model="openai/small", text=reply if isinstance(reply, str) else json.dumps(reply),
            of_schema=not isinstance(reply, str),
        )
        for reply in replies
    ]  # fmt: skip
    made = as_trace(Done(stage, task, result, heard, datetime.now(UTC)), "c")  # type: ignore[arg-type]
    assert traces.record([replace(made, document_ids=())]) == 1


def whose(number: int = 0) -> TraceOf:
    return TraceOf(question_id=f"00000000-0000-4000-8000-{number:012}", tenant="default")


def receipt(stage: str) -> StageReceipt:
    return StageReceipt(stage=stage, tier="small", model="openai/small")  # type: ignore[arg-type]


def record_plan(traces: Traces, *replies: dict[str, Any] | str, number: int = 0) -> None:
    history = (Turn(role="user", text="Is ann@a.org at the Millau tower?"), Turn(role="assistant", text="Yes."))
    task = PlanTask(question=Question(text="How tall is it?", history=history), timeout_s=5, trace=whose(number))
    plan = Plan(standalone="How tall is it?", queries=())
    record(traces, "plan", task, PlanResult(plan=plan, receipt=receipt("plan")), *replies)


def record_prune(traces: Traces, *replies: dict[str, Any] | str, number: int = 0) -> None:
    task = PruneTask(
        question="How tall is the tower that ann@tower.example built?", asked="How tall?", hits=hits(TOWER, TUNNEL),
        timeout_s=5, trace=whose(number),
    )  # fmt: skip
    record(traces, "prune", task, PruneResult(evidence=evidence(TOWER), receipt=receipt("prune")), *replies)


def record_cite(traces: Traces, *replies: dict[str, Any] | str) -> None:
    draft = Draft(text="The tower is 336 metres tall [1]. It was painted red by its owner.")
    task = CiteTask(question="How tall?", draft=draft, evidence=evidence(TOWER, TUNNEL), timeout_s=5, trace=whose())
    result = assemble(read_claims(draft.text), [[], []], receipt("cite"))
    record(traces, "cite", task, result, *replies)


@pytest.fixture
def label(traces: Traces, model_stub: ModelStub) -> Any:
    """Has the stub teach."""
    model_stub.on("large", teach)

    def run(price: float | None = 1e-6, retries: int = 0, **options: Any) -> Labelling:
        params = {"input_cost_per_token": price, "output_cost_per_token": price} if price is not None else {}
        entry = ModelEntry(
            model_name="large",
            litellm_params=LitellmParams(model="openai/large", api_base=model_stub.url, api_key="sk", **params),
        )

        async def work() -> Labelling:
            tiers = ModelTiers((entry,), ModelCallSettings(retries=retries, max_output_tokens=100))
            tiers.warm_up()
            try:
                return await Teacher(SETTINGS, tiers, traces, "large", concurrency=4).run(ALL, **options)
            finally:
                await tiers.aclose()

        return asyncio.run(work())

    return run


def examples(traces: Traces, head: Any) -> list[Example]:
    scrubber = Scrubber()
    return [each for trace, found in traces.labelled(ALL) for each in examples_of(head, trace, found, scrubber)]


def test_a_run_is_bounded_goes_on_and_pays_once(traces: Traces, label: Any, model_stub: ModelStub) -> None:
    for number in range(12):
        record_plan(traces, number=number)
    first = label(max_cost_usd=0.001)
    assert 0 < first.labelled < 12
    assert first.usage.cost_usd <= 0.001
    assert "max_cost_usd leaves no room" in first.ended
    rest = label()
    assert first.labelled + rest.labelled == 12
    assert label().labelled == 0
    assert len(model_stub.calls()) == 12


def test_what_the_teacher_cannot_do_is_tried_again_by_the_next_run(
    traces: Traces, label: Any, model_stub: ModelStub
) -> None:
    for number in range(7):
        record_plan(traces, number=number)
    model_stub.script("large", [Raw("{"), Reply("no JSON"), Reply("still none")])
    first = label()
    assert first.labelled + first.failed == 7
    assert first.failed >= 1
    assert label().labelled == first.failed
    record_prune(traces, number=9)
    assert "no room" in label(price=None, max_cost_usd=1.0).ended, "an unknown price is not spent against a bound"


def test_a_teacher_that_is_away_is_given_up(traces: Traces, label: Any, model_stub: ModelStub) -> None:
    for number in range(20):
        record_plan(traces, number=number)
    model_stub.on("large", lambda _: Status(503))
    run = label()
    assert run.labelled == 0
    assert "failures in a row" in run.ended
    assert len(model_stub.calls()) <= 8


def test_each_head_learns_what_the_teacher_says_of_its_stage(traces: Traces, label: Any, tmp_path: Path) -> None:
    record_plan(traces)
    record_prune(traces)
    record_cite(traces)
    assert label().labelled == 3
    (resolve,) = examples(traces, "resolve")
    words = [resolve.second[start:end] for start, end in resolve.spans]
    assert [word for word, needed in zip(words, resolve.span_labels or (), strict=True) if needed] == [
        "Millau",
        "tower",
    ]
    assert "<EMAIL_1>" in resolve.second
    assert "ann" not in resolve.second
    first, second = examples(traces, "evidence")
    assert (first.label, first.span_labels, second.label, second.span_labels) == (1.0, (0.0, 1.0), 0.0, (0.0,))
    assert [first.second[start:end] for start, end in first.spans] == [
        "Mail <EMAIL_1> first.", "The tower is 336 metres tall.",
    ]  # fmt: skip
    assert first.first == "How tall is the tower that <EMAIL_1> built?"
    assert first.group == second.group
    (sufficiency,) = examples(traces, "sufficiency")
    assert sufficiency.label == 1.0
    support = {(each.first, each.second): each.label for each in examples(traces, "support")}
    assert support["The tower is 336 metres tall.", "The tower is 336 metres tall."] == 0.0
    assert support["It was painted red by its owner.", "The tower is 336 metres tall."] == 2.0
    write_examples(tmp_path / "examples.jsonl", [first, second])
    assert read_examples(tmp_path / "examples.jsonl") == [first, second]


def pairs(traces: Traces) -> list[dict[str, Any]]:
    scrubber = Scrubber()
    labelled = traces.labelled(ALL)
    return [pair for trace, found in labelled for pair in preferences_of(trace, found, SETTINGS, scrubber)]


def test_failures_of_the_small_model_are_rejected_and_what_was_right_is_not(traces: Traces, label: Any) -> None:
    record_plan(traces, "Sure, ann@a.org! {", REWRITE)
    record_prune(traces, {"keep": [{"passage": 2, "sentences": [1]}], "answerable": True}, number=1)
    record_prune(traces, PRUNED, number=2)
    record_cite(traces, {"bindings": [{"claim": 1, "sources": [2, 3]}, {"claim": 2, "sources": [1]}]})
    assert label().labelled == 4
    form, wrong, cited = pairs(traces)
    assert form["rejected"] == [{"role": "assistant", "content": "Sure, <EMAIL_1>! {"}]
    assert json.loads(form["chosen"][0]["content"]) == REWRITE
    assert [message["role"] for message in form["prompt"]] == ["system", "user"]
    assert "JSON schema" in form["prompt"][0]["content"]
    assert "ann@" not in json.dumps([form, wrong, cited])
    data = json.loads(wrong["prompt"][1]["content"])
    assert data["passages"][0]["sentences"] == {"1": "Mail <EMAIL_1> first.", "2": "The tower is 336 metres tall."}
    assert json.loads(wrong["rejected"][0]["content"])["keep"] == [{"passage": 2, "sentences": [1]}]
    assert json.loads(cited["chosen"][0]["content"]) == BOUND
