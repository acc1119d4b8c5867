"""A server that is killed in the middle of a job, and the next one."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.support.api_server import ApiServer, wait_for_job
from tests.support.process import free_port

pytestmark = [pytest.mark.network, pytest.mark.slow]

DOCUMENTS = 24


@contextmanager
def child(data_dir: Path) -> Iterator[tuple[subprocess.Popen[bytes], httpx.Client]]:
    """`strata serve` as a process of its own, ready."""
    port = free_port()
    environment = {
        **os.environ,
        "STRATA_DATA_DIR": str(data_dir),
        "STRATA_API__PORT": str(port),
        "STRATA_API__SHUTDOWN_S": "2",
        "STRATA_INGEST__BATCH_PASSAGES": "4",
    }
    command = [sys.executable, "-m", "services.cli.main", "serve"]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30)
    try:
        end = time.monotonic() + 90
        while True:
            try:
                if client.get("/readyz").status_code == 200:
                    break
            except httpx.ConnectError:
                assert process.poll() is None, "the server ended"
            assert time.monotonic() < end, "the server did not start"
            time.sleep(0.1)
        yield process, client
    finally:
        client.close()
        process.kill()
        process.wait()


def test_a_job_survives_a_kill_and_a_stop_and_ends(tmp_path: Path, serve: Callable[..., ApiServer]) -> None:
    documents = [
        {"text": f"The gauge of tank {number} showed {number * 7} litres. " * 60, "name": f"{number}.md"}
        for number in range(DOCUMENTS)
    ]
    data_dir = tmp_path / "data"
    with child(data_dir) as (process, client):
        location = client.post("/v1/documents", json={"documents": documents}).headers["location"]
        _some_indexed(client, location, 1)
        process.send_signal(signal.SIGKILL)
        process.wait(10)
    with child(data_dir) as (process, client):
        _some_indexed(client, location, 4)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    client = serve().client  # on the same folder
    job = wait_for_job(client, location, 120)
    assert job["counts"] == {**dict.fromkeys(job["counts"], 0), "indexed": DOCUMENTS}
    found = client.get("/v1/documents", params={"limit": 1000}).json()["documents"]
    assert len({document["id"] for document in found}) == len(found) == DOCUMENTS
    checks = client.get("/readyz").json()["checks"]
    assert checks["index"]["detail"] == f"embedded, {sum(document['passages'] for document in found)} passages"


def _some_indexed(client: httpx.Client, location: str, number: int) -> None:
    end = time.monotonic() + 60
    while client.get(location).json()["counts"]["indexed"] < number:
        assert time.monotonic() < end
        time.sleep(0.02)
    assert not client.get(location).json()["finished"], "too late: the job is done already"
