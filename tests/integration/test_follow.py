"""A second round of the question path: real index and encoder, the prune stage on a model over real HTTP."""

import io
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from indexing.identity import document_id
from pipelines.core.events import Event
from pipelines.core.settings import LitellmParams, ModelEntry, RetrieveSettings, Settings, StageModels
from pipelines.core.types import Answer, AnswerStatus, Filter, Question
from services.documents.intake import NewDocument
from services.runtime import Runtime
from tests.support.model_stub import Behaviour, ModelStub, Reply, Request

pytestmark = pytest.mark.network

ASKED = "Where was the designer of the Millau viaduct born?"
PRICES = {"input_cost_per_token": 1e-6, "output_cost_per_token": 3e-6}
DOCUMENTS = {
    "viaduct.md": "# Millau viaduct\n\nThe designer of the Millau viaduct is Norman Foster.\n",
    "foster.md": "# Norman Foster\n\nHe was born in Stockport in 1935.\n",
    "tunnel.md": "# Gotthard tunnel\n\nThe Gotthard Base Tunnel is 57 kilometres long.\n",
}


@pytest.fixture(scope="module")
def indexed() -> Iterator[Runtime]:
    with tempfile.TemporaryDirectory() as folder, Runtime(Settings(data_dir=Path(folder))) as runtime:
        runtime.ingestion.accept(
            "default", [NewDocument(io.BytesIO(text.encode()), name, name) for name, text in DOCUMENTS.items()]
        )
        assert runtime.ingestion.work() == len(DOCUMENTS)
        yield runtime


def keep_everything(request: Request) -> Behaviour:
    """What follows from a title is an answer; that somebody designed something is none."""
    passages = json.loads(request.prompt)["passages"]
    keep = [{"passage": each["number"], "sentences": [1]} for each in passages]
    return Reply(json.dumps({"keep": keep, "answerable": "Stockport" in request.prompt}))


async def ask(indexed: Runtime, stub: ModelStub, rounds: int, **within: object) -> tuple[Answer, list[Event]]:
    stub.on("prune", keep_everything)
    params = LitellmParams.model_validate(
        {"model": "openai/prune", "api_base": stub.url, "api_key": "sk-stub", **PRICES}
    )
    settings = indexed.settings.model_copy(
        update={
            "models": (ModelEntry(model_name="prune", litellm_params=params),),
            "stages": StageModels(prune="prune"),
            "retrieve": RetrieveSettings(top_k=1, rounds=rounds),
        }
    )
    runtime = Runtime(settings)
    for part in ("encoder", "store", "ledger"):
        runtime.__dict__[part] = getattr(indexed, part)  # an embedded index opens once
    events: list[Event] = []
    try:
        return await runtime.asking.ask(Question(text=ASKED, filter=Filter(**within)), events.append), events
    finally:
        await runtime.aclose()


async def test_a_second_round_finds_what_the_first_one_named(indexed: Runtime, model_stub: ModelStub) -> None:
    answer, events = await ask(indexed, model_stub, rounds=2)
    assert answer.status is AnswerStatus.ANSWERED
    assert "foster.md" in {citation.source for citation in answer.citations}
    stages = [each.stage for each in answer.receipt.stages]
    assert stages == ["plan", "retrieve", "prune", "retrieve", "prune", "synthesize", "cite"]
    pruned = [each.usage for each in answer.receipt.stages if each.stage == "prune"]
    assert sum(each.calls for each in pruned) == len(model_stub.calls("prune")) == 2
    assert sum(each.tokens_in for each in pruned) == model_stub.tokens_in("prune")
    assert answer.receipt.total.cost_usd == pytest.approx(
        model_stub.tokens_in("prune") * 1e-6 + model_stub.tokens_out("prune") * 3e-6
    )
    assert [event.sufficient for event in events if event.type == "evidence"] == [False, True]


async def test_one_round_abstains_and_so_do_two_where_the_other_document_may_not_be_seen(
    indexed: Runtime, model_stub: ModelStub
) -> None:
    one, _ = await ask(indexed, model_stub, rounds=1)
    assert one.status is AnswerStatus.INSUFFICIENT
    assert len(model_stub.calls("prune")) == 1
    model_stub.reset()
    visible = tuple(document_id("default", name) for name in ("viaduct.md", "tunnel.md"))
    confined, _ = await ask(indexed, model_stub, rounds=2, document_ids=visible)
    assert confined.status is AnswerStatus.INSUFFICIENT
    assert len(model_stub.calls("prune")) == 1
    assert [each.stage for each in confined.receipt.stages] == ["plan", "retrieve", "prune", "retrieve"]
