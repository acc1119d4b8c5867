"""What containers run beside Strata's own commands does what it is there for: probes, and how the queue is started."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml

from tests.support.chart import of_kind, render, value_set
from tests.support.process import free_port
from tests.support.services import missing

ROOT = Path(__file__).parents[2]
PASSWORD = "0123456789abcdef"


def of_chart(kind: str, name: str) -> dict[str, Any]:
    manifest = of_kind(render(value_set("default")), kind)[name]
    container: dict[str, Any] = manifest["spec"]["template"]["spec"]["containers"][0]
    return container


def of_compose(name: str) -> dict[str, Any]:
    service: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"][name]
    return service


def heartbeat_probes() -> list[list[str]]:
    container = of_chart("Deployment", "strata-worker-prune")
    kinds = ("startupProbe", "livenessProbe", "readinessProbe")
    assert of_compose("worker-prune")["healthcheck"]["test"][0] == "CMD"
    return [container[kind]["exec"]["command"] for kind in kinds] + [
        of_compose("worker-prune")["healthcheck"]["test"][1:]
    ]


@pytest.mark.parametrize("probe", heartbeat_probes(), ids=["startup", "liveness", "readiness", "compose"])
def test_a_worker_lives_as_long_as_its_heartbeat_is_young(probe: list[str], tmp_path: Path) -> None:
    file = tmp_path / "heartbeat"

    def alive() -> bool:
        command, flags, program = probe
        assert command == "python"
        done = subprocess.run(
            [sys.executable, flags, program.replace("/tmp/heartbeat", str(file))], check=False, capture_output=True
        )
        return done.returncode == 0

    assert not alive()
    file.touch()
    assert alive()
    os.utime(file, (time.time() - 31, time.time() - 31))
    assert not alive()


def valkey_scripts() -> list[str]:
    compose: str = of_compose("redis")["command"][-1]
    chart: str = of_chart("StatefulSet", "strata-valkey")["command"][-1]
    return [chart, compose.replace("$$", "$")]


@pytest.fixture(params=valkey_scripts(), ids=["chart", "compose"])
def valkey(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[int]:
    """A server that the script started, with Debian's redis-server in Valkey's place; its port."""
    if shutil.which("redis-server") is None:
        missing("redis-server is not installed")
    port = free_port()
    script = request.param.replace("valkey-server", "redis-server").replace("/data", f"{tmp_path} --port {port}")
    environment = {"PATH": os.environ["PATH"], "REDISCLI_AUTH": PASSWORD}
    process = subprocess.Popen(["sh", "-c", script], env=environment, stdout=subprocess.DEVNULL)
    try:
        yield port
        process.terminate()
        assert process.wait(10) == 0  # the signal reaches the server itself, which saves and ends
        assert list(tmp_path.glob("appendonlydir/*.aof"))
    finally:
        process.kill()
        process.wait()


@pytest.mark.network
def test_the_queue_asks_for_its_password_and_keeps_what_it_holds(valkey: int) -> None:
    client = redis.Redis(port=valkey, password=PASSWORD)
    for _ in range(100):
        try:
            client.ping()
            break
        except redis.ConnectionError:
            time.sleep(0.05)
    assert client.config_get("appendonly") == {"appendonly": "yes"}
    assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
    client.rpush("strata.plan", "task")
    client.close()
    with pytest.raises(redis.AuthenticationError), redis.Redis(port=valkey) as stranger:
        stranger.ping()
