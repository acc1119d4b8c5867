"""The distributed form as it is deployed: real processes, Redis and PostgreSQL, killed in the middle of their work."""

import asyncio
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from pipelines.core.settings import Settings
from pipelines.core.types import Question
from services.documents.intake import NewDocument
from services.runtime import Runtime
from tests.support.accounting import account, open_documents
from tests.support.api_server import assert_problem, read_events, wait_for_job
from tests.support.cluster import Cluster
from tests.support.servers import Postgres, Redis
from tests.support.services import missing

pytestmark = [pytest.mark.network, pytest.mark.slow]

EXAMPLES = Path(__file__).parents[2] / "examples" / "flying-club"
FILES = sorted(path for path in EXAMPLES.rglob("*") if path.is_file())
QUESTIONS = (
    "What distracted the student pilot while taxiing to parking?",
    "Who may sign off a pilot for the club's tail-wheel aircraft?",
    "Who won the football world cup in 1998?",
)
DOCUMENTS = 40


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A cluster that holds the examples. Passages go in small batches, for kills between two; stages hedge soon."""
    for server in (Redis, Postgres):
        if server.program() is None:
            missing(f"{server.name} is not installed")
    settings = {"ingest": {"batch_passages": 8}, **{stage: {"timeout_s": 2} for stage in ("plan", "prune", "cite")}}
    with Cluster(settings=settings) as started:
        job = started.client.post("/v1/documents", files=[("files", (each.name, each.read_bytes())) for each in FILES])
        assert job.status_code == 202, job.text
        done = wait_for_job(started.client, job.headers["location"], 60)
        assert done["counts"]["indexed"] == len(FILES)
        yield started


@pytest.fixture(autouse=True)
def logs(cluster: Cluster) -> Iterator[None]:
    """Shown where a test fails."""
    yield
    print(cluster.logs())


def ask(cluster: Cluster, question: str) -> dict[str, Any]:
    response = cluster.client.post("/v1/ask", json={"question": question})
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def seen(answer: dict[str, Any]) -> dict[str, Any]:
    """What a reader sees, without what the run was."""
    return {name: answer[name] for name in ("status", "text", "citations", "unsupported")}


def submit(cluster: Cluster, prefix: str) -> list[str]:
    """Documents of three passages each; returns their sources."""
    text = "The gauge of tank {0} showed {1} litres on a cold morning in March, and nobody wondered. " * 60
    documents = [
        {"text": text.format(f"{prefix} {number}", number * 7), "source": f"{prefix}-{number}"}
        for number in range(DOCUMENTS)
    ]
    response = cluster.client.post("/v1/documents", json={"documents": documents})
    assert response.status_code == 202, response.text
    return [each["source"] for each in documents]


def wait_until_open(cluster: Cluster, *, at_most: int, timeout_s: float = 60) -> None:
    end = time.monotonic() + timeout_s
    while open_documents(cluster) > at_most:
        assert time.monotonic() < end, f"{open_documents(cluster)} documents have not ended"
        time.sleep(0.05)


def assert_all_indexed(cluster: Cluster, sources: list[str], *, resent: bool = False) -> None:
    """Nothing is lost, nothing stands in the index twice, nothing was embedded again after it was written.

    Args:
        resent: The index was killed: batches whose outcome nobody heard of were sent again.
    """
    wait_until_open(cluster, at_most=0)
    found = account(cluster, sources)
    assert (replace(found, embedded_again=0) if resent else found).holds, found
    assert found.indexed == len(sources)
    assert found.passages >= 2 * len(sources)


# --- Work ------------------------------------------------------------------------------------------------------------


def test_workers_answer_as_one_process_does(cluster: Cluster, tmp_path: Path) -> None:
    answers = [ask(cluster, question) for question in QUESTIONS]
    assert [answer["status"] for answer in answers] == ["answered", "answered", "insufficient_evidence"]
    assert not [stage for answer in answers for stage in answer["receipt"]["stages"] if stage["fallback"]]
    with Runtime(Settings(data_dir=tmp_path)) as runtime:
        runtime.ingestion.accept("default", [NewDocument(path, path.name, path.name) for path in FILES])
        assert runtime.ingestion.work() == len(FILES)
        embedded = asyncio.run(_ask_here(runtime))
    assert [seen(answer) for answer in answers] == [seen(answer) for answer in embedded]


async def _ask_here(runtime: Runtime) -> list[dict[str, Any]]:
    try:
        return [(await runtime.ask(Question(text=text))).model_dump(mode="json") for text in QUESTIONS]
    finally:
        await runtime.aclose()


def test_events_come_in_the_order_of_the_stages(cluster: Cluster) -> None:
    body = {"question": QUESTIONS[0], "stream": True}
    with cluster.client.stream("POST", "/v1/ask", json=body) as response:
        events = list(read_events(response))
    assert list(dict.fromkeys(name for name, _ in events)) == ["plan", "evidence", "delta", "citation", "answer"]
    assert seen(events[-1][1]["answer"]) == seen(ask(cluster, QUESTIONS[0]))


# --- Kills -----------------------------------------------------------------------------------------------------------


def test_questions_outlive_the_worker_of_their_stage(cluster: Cluster) -> None:
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(ask, cluster, QUESTIONS[0]) for _ in range(8)]
        time.sleep(0.1)
        cluster.kill("stages")
        began = time.monotonic()
        endings = {each.result()["status"] for each in asked}
    assert endings <= {"answered", "degraded"}
    assert time.monotonic() - began < 30, "half of the question's deadline"
    cluster.start("stages")
    answer = ask(cluster, QUESTIONS[0])
    assert answer["status"] == "answered"


def test_documents_outlive_the_worker_that_had_them(cluster: Cluster) -> None:
    sources = submit(cluster, "worker")
    wait_until_open(cluster, at_most=DOCUMENTS - 3)
    cluster.kill("ledger")
    assert open_documents(cluster) > 0, "too late: all is done"
    cluster.start("ledger")
    assert_all_indexed(cluster, sources)


def test_a_batch_of_questions_outlives_the_worker_that_answers_it(cluster: Cluster) -> None:
    lines = [json.dumps({"question": QUESTIONS[number % 3], "custom_id": f"q{number}"}) for number in range(60)]
    job = cluster.client.post(
        "/v1/answers", content="\n".join(lines), headers={"Content-Type": "application/jsonl"}
    ).json()
    results = f"/v1/answers/{job['id']}/results"
    while not cluster.client.get(results).text.strip():
        time.sleep(0.02)
    cluster.kill("ledger")
    assert cluster.client.get(results).text.count("\n") < len(lines), "too late: all is done"
    cluster.start("ledger")
    read = [json.loads(line) for line in cluster.client.get(results, params={"follow": True}).text.split("\n") if line]
    assert [result["custom_id"] for result in read] == [f"q{number}" for number in range(60)]
    expected = [seen(ask(cluster, question)) for question in QUESTIONS]
    assert [seen(result["answer"]) for result in read] == [expected[number % 3] for number in range(60)]


def test_the_api_may_be_killed_and_what_it_accepted_is_indexed(cluster: Cluster) -> None:
    sources = submit(cluster, "api")
    cluster.kill("api")
    cluster.start("api")
    assert_all_indexed(cluster, sources)
    assert ask(cluster, QUESTIONS[0])["status"] == "answered"


@pytest.mark.parametrize("name", ["redis", "postgres", "qdrant"])
def test_a_server_that_goes_away_and_comes_back_needs_no_restart_of_anything(cluster: Cluster, name: str) -> None:
    sources = submit(cluster, name)
    wait_until_open(cluster, at_most=DOCUMENTS - 3)
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(cluster.client.post, "/v1/ask", json={"question": QUESTIONS[0]}) for _ in range(4)]
        cluster.kill(name)
        time.sleep(1)
        cluster.start(name)
        for each in asked:
            assert_ended(each.result())
    assert_all_indexed(cluster, sources, resent=name == "qdrant")
    end = time.monotonic() + 30
    while cluster.client.get("/readyz").json()["status"] != "ready":
        assert time.monotonic() < end, cluster.client.get("/readyz").text
        time.sleep(0.2)
    answer = ask(cluster, QUESTIONS[0])
    assert answer["status"] == "answered"


def assert_ended(response: httpx.Response) -> None:
    """An answer, or a clear error that says to come back."""
    if response.status_code != 200:
        problem = assert_problem(response, response.status_code, response.json()["code"])
        assert problem["retryable"], problem
        return
    assert response.json()["status"] in {"answered", "degraded"}
