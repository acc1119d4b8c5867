"""Training on one's own traffic, start to finish: recorded, labelled by a teacher, exported, trained, judged, live."""

import io
import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from pipelines.core.encoders.source import BUILTIN, builtin_folder, fingerprint
from pipelines.core.encoders.spec import HeadSpec
from pipelines.core.settings import Settings
from pipelines.core.state import TraceFilter
from services.documents.intake import NewDocument
from services.runtime import Runtime
from tests.support.cluster import ROOT, StrataProcess
from tests.support.commands import SERVE, runnable
from tests.support.model_stub import Behaviour, ModelStub, Reply, Request

pytestmark = [pytest.mark.network, pytest.mark.slow]

TOWERS = (
    "Alder Birch Cedar Dogwood Elm Fir Ginkgo Hazel Ivy Juniper Kauri Larch Maple Nutmeg Oak Pine Quince Rowan Spruce "
    "Teak Umber Viburnum Willow Yew Zelkova Acacia Beech Chestnut"
).split()
POLL_S = 0.2


def teach(request: Request) -> Behaviour:
    """Keeps the sentences with the height of the tower that the question is about."""
    data = json.loads(request.prompt)
    tower = data["question"].split()[-2]
    keep = [
        {"passage": passage["number"], "sentences": chosen}
        for passage in data["passages"]
        if (chosen := [int(at) for at, text in passage["sentences"].items() if tower in text and "metres" in text])
    ]
    return Reply(json.dumps({"keep": keep, "answerable": bool(keep)}))


def untrained(folder: Path) -> None:
    """A head that knows nothing yet: training has something to better, whatever comes with Strata."""
    from services.training.network.model import HeadModel

    spec = HeadSpec(
        name="evidence", version="untrained", backbone=fingerprint(BUILTIN), pair_labels=("helps",),
        span_labels=("helps",), max_tokens=192,
    )  # fmt: skip
    HeadModel(spec, builtin_folder(), rank=4).save(folder, spec)


def settings(folder: Path, stub: ModelStub) -> dict[str, Any]:
    teacher = {
        "model": "openai/large", "api_base": stub.url, "api_key": "sk-stub", "input_cost_per_token": 1e-6,
        "output_cost_per_token": 1e-6,
    }  # fmt: skip
    return {
        "data_dir": str(folder / "data"),
        "encoder": {"engine": "torch", "precision": "float32", "cache_dir": str(folder / "cache")},
        "models": [{"model_name": "large", "litellm_params": teacher}],
        "heads": {"poll_s": POLL_S},
        "retrieve": {"top_k": 4},
        "traces": {"consent": True},
    }


@pytest.fixture
def service(tmp_path: Path, model_stub: ModelStub) -> Iterator[StrataProcess]:
    """`strata serve` over documents about towers, with a head that knows nothing."""
    model_stub.on("large", teach)
    given = settings(tmp_path, model_stub)
    (tmp_path / "strata.yaml").write_text(json.dumps(given))
    with Runtime(Settings.model_validate(given)) as runtime:
        texts = {
            name: f"The {name} tower stands by a lake. It was opened in {1900 + at}. The {name} tower is {20 + at} "
            f"metres tall. Visitors climb the stairs of the {name} tower."
            for at, name in enumerate(TOWERS)
        }
        documents = [NewDocument(io.BytesIO(text.encode()), f"{name}.md", name) for name, text in texts.items()]
        runtime.ingestion.accept("default", documents)
        assert runtime.ingestion.work() == len(TOWERS)
        untrained(tmp_path / "untrained")
        runtime.head_store.add(tmp_path / "untrained", {})
        runtime.head_versions.accept("evidence", "untrained")
    process = StrataProcess("serve", SERVE, tmp_path, {"STRATA_CONFIG": str(tmp_path / "strata.yaml")}, own_host=False)
    process.start()
    yield process
    process.clear()


def strata(service: StrataProcess, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command beside the running service, on the same configuration."""
    command = runnable(("--config", str(service.folder / "strata.yaml"), *arguments))
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)


def ask(service: StrataProcess, tower: str) -> dict[str, Any]:
    body = {"question": f"How tall is the {tower} tower?"}
    response = httpx.post(f"{service.url}/v1/ask", json=body, timeout=60)
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


def until_live(service: StrataProcess, version: str) -> None:
    """Waits until a version is live in the running service."""
    deadline, live = time.monotonic() + 60, f'strata_head_live{{head="evidence",version="{version}"}} 1.0'
    while live not in httpx.get(f"{service.url}/metrics").text:
        assert time.monotonic() < deadline, service.last_words()
        time.sleep(POLL_S)


def test_traffic_makes_a_better_head_that_is_live_without_a_restart(
    service: StrataProcess, model_stub: ModelStub, tmp_path: Path
) -> None:
    until_live(service, "untrained")
    answers = {ask(service, tower)["id"] for tower in TOWERS}
    with Runtime(Settings.model_validate(settings(tmp_path, model_stub))) as runtime:
        deadline = time.monotonic() + 30
        while runtime.traces.counts(TraceFilter(stage="prune")).get(("prune", "none"), 0) < len(TOWERS):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        recorded = {trace.question_id for trace in runtime.traces.page(TraceFilter(stage="prune"), limit=99).items}
        assert answers == recorded

    labelled = strata(service, "traces", "label", "--tier", "large", "--stage", "prune", "--concurrency", "16")
    assert f"{len(TOWERS)} records labelled" in labelled.stdout, labelled.stderr

    examples = tmp_path / "evidence.jsonl"
    exported = strata(service, "traces", "export", "--head", "evidence", "--out", str(examples))
    assert exported.returncode == 0, exported.stderr
    assert "Names of people are not" in exported.stderr
    how = ("--epochs", "2", "--rate", "1e-3", "--json")
    trained = strata(service, "train", "evidence", "--traces", str(examples), *how)
    assert trained.returncode == 0, trained.stdout + trained.stderr
    version = json.loads(trained.stdout)
    assert version["status"] == "accepted"
    assert version["paired"]["interval"][0] > 0
    until_live(service, version["version"])
    stages = {stage["stage"]: stage["model"] for stage in ask(service, "Oak")["receipt"]["stages"]}
    assert stages["prune"] == f"encoder/evidence@{version['version']}"

    rolled_back = strata(service, "heads", "rollback", "evidence")
    assert rolled_back.stdout == "evidence untrained is live.\n"
    until_live(service, "untrained")
