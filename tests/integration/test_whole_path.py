"""The whole path beside its uniform arms, with language models over real HTTP: what each arm is charged."""

import json
from pathlib import Path

import pytest

from pipelines.core.settings import LitellmParams, ModelEntry, Settings, StageModels
from services.cli.progress import progress
from services.evaluation.report.page import page
from services.evaluation.run import Request, evaluate
from tests.support.model_stub import Behaviour, ModelStub, Reply
from tests.support.model_stub import Request as Sent
from tests.unit.services.evaluation.data.test_sets import write

pytestmark = pytest.mark.network

LARGE_PRICE, SMALL_PRICE = (1e-5, 3e-5), (1e-6, 3e-6)
SOURCES = [
    {"n": 1, "title": "Millau viaduct", "text": "The Millau viaduct is 336 metres tall. It was opened in 2004."},
    {"n": 2, "title": "Gotthard tunnel", "text": "The Gotthard Base Tunnel is 57 kilometres long."},
]
QUERY = {"id": "q1", "question": "How tall is the Millau viaduct?", "answers": ["It is [ 1 336 metres tall ] ."]}
OTHER = {"id": "q2", "question": "How long is the Gotthard tunnel?", "answers": ["[ 2 57 kilometres long ]"]}
ARMS = ("strata", "everything to the large model", "small model alone")


def large(request: Sent) -> Behaviour:
    number = 1 if "Millau viaduct?" in request.prompt else 2
    return Reply("The Millau viaduct is 336 metres tall [1]." if number == 1 else "It is 57 kilometres long [1].")


def small(request: Sent) -> Behaviour:
    asked = json.loads(request.prompt)
    if "passages" not in asked:
        return Reply("It is very tall [1].")
    numbers = [each["number"] for each in asked["passages"] if each["from"].split()[0] in asked["question"]]
    return Reply(
        json.dumps({"keep": [{"passage": number, "sentences": [1]} for number in numbers], "answerable": True})
    )


def entry(stub: ModelStub, name: str, price: tuple[float, float]) -> ModelEntry:
    prices = {"input_cost_per_token": price[0], "output_cost_per_token": price[1]}
    return ModelEntry(
        model_name=name,
        litellm_params=LitellmParams.model_validate(
            {"model": f"openai/{name}", "api_base": stub.url, "api_key": "sk-stub", **prices}
        ),
    )


@pytest.mark.slow
def test_every_arm_is_charged_for_what_it_sent(model_stub: ModelStub, tmp_path: Path) -> None:
    write(tmp_path / "quotesum" / "s" / "queries.jsonl.gz", [{**each, "sources": SOURCES} for each in (QUERY, OTHER)])
    model_stub.on("large", large)
    model_stub.on("small", small)
    settings = Settings(
        data_dir=tmp_path / "data",
        models=(entry(model_stub, "large", LARGE_PRICE), entry(model_stub, "small", SMALL_PRICE)),
        stages=StageModels(synthesize="large", prune="small"),
    )
    result = evaluate(Request("quotesum", tmp_path, "s"), settings, progress)

    path = result.tasks["path"]
    for tier in ("large", "small"):
        for way, sent in (("in", model_stub.tokens_in(tier)), ("out", model_stub.tokens_out(tier))):
            told = sum(path.figure(arm, f"{tier} tokens {way}").value or 0 for arm in ARMS) * 2
            assert told == sent > 0
        calls = sum(path.figure(arm, f"{tier} calls").value or 0 for arm in ARMS) * 2
        assert calls == len(model_stub.calls(tier)) == 4
    of_large = {arm: path.figure(arm, "large tokens in").value or 0 for arm in ARMS}
    assert 0 == of_large["small model alone"] < of_large["strata"] < of_large["everything to the large model"]
    for arm in ARMS:
        cost = sum(
            (path.figure(arm, f"{tier} tokens in").value or 0) * price[0]
            + (path.figure(arm, f"{tier} tokens out").value or 0) * price[1]
            for tier, price in (("large", LARGE_PRICE), ("small", SMALL_PRICE))
        )
        assert path.figure(arm, "cost").value == pytest.approx(cost)
    assert path.figure("strata", "ROUGE-L").value == path.figure("everything to the large model", "ROUGE-L").value
    assert path.figure("strata", "cost").against == "everything to the large model"
    assert (path.figure("strata", "gold words seen by the writer").value, path.baselines) == (1.0, ARMS[1:])
    assert path.notes == ("The large model is `large` (openai/large).", "The small model is `small` (openai/small).")
    assert page([result]).count("<svg") == 2


def test_without_a_model_tokens_are_estimated_and_the_result_says_so(tmp_path: Path) -> None:
    write(tmp_path / "quotesum" / "s" / "queries.jsonl.gz", [{**QUERY, "sources": SOURCES}])
    result = evaluate(Request("quotesum", tmp_path, "s"), Settings(data_dir=tmp_path / "data"), progress)
    path = result.tasks["path"]
    assert path.figure("everything to the large model", "large tokens in").value > 100  # type: ignore[operator]
    assert path.figure("small model alone", "large tokens in").value == 0
    assert path.figure("small model alone", "small calls").value == 1
    notes = " ".join(path.notes)
    for words in ("No large language model is configured", "Tokens are estimated", "Declared prices", "$1.25 / $10"):
        assert words in notes
