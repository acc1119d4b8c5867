"""compose.yaml by inspection: the same commands as the tests' cluster, confined, with settings the program accepts."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.core.settings import Settings
from services.config import load
from tests.support.commands import MIGRATE, SERVE, WORKERS

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "compose.yaml").read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
STRATA = {name: service for name, service in SERVICES.items() if "build" in service}
SECRETS = ("POSTGRES_PASSWORD", "REDIS_PASSWORD", "QDRANT_API_KEY", "STRATA_API__BOOTSTRAP_KEY")
VARIABLE = re.compile(r"\$\{(\w+)(?::([?-])([^}]*))?\}")


def settings_of(name: str) -> Settings:
    given = SERVICES[name]["environment"].items()
    return load(environ={key: VARIABLE.sub("s" * 40, value) for key, value in given}).settings


def seconds(period: str) -> int:
    assert period.endswith("s")
    return int(period.removesuffix("s"))


def test_each_service_runs_the_command_that_the_tests_run() -> None:
    workers = {f"worker-{role}": command for role, command in WORKERS.items()}
    assert {name: tuple(service["command"]) for name, service in STRATA.items()} == {
        "api": SERVE,
        "migrate": MIGRATE,
        **workers,
    }


@pytest.mark.parametrize("name", sorted(set(STRATA) - {"migrate"}))
def test_every_process_accepts_its_settings_and_has_time_to_end(name: str) -> None:
    settings = settings_of(name)
    assert settings.distributed
    assert settings.state.url is not None
    service = STRATA[name]
    patience = seconds(service["stop_grace_period"])
    probe = service["healthcheck"]["test"][-1]
    if name == "api":
        assert settings.api.host == "0.0.0.0"
        assert settings.api.bootstrap_key is not None
        assert settings.api.shutdown_s >= settings.answer.deadline_s
        assert patience > 2 * settings.api.shutdown_s
        assert f":{settings.api.port}/readyz" in probe
    else:
        assert patience > max(settings.convert.timeout_s, settings.answer.deadline_s)
        assert f"'{settings.queue.heartbeat_file}'" in probe


def test_the_migration_comes_before_and_needs_only_the_database() -> None:
    for name, service in STRATA.items():
        if name == "migrate":
            assert service["depends_on"] == {"postgres": {"condition": "service_healthy"}}
            assert service["restart"] == "no"
        else:
            assert service["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}
            waited_for = {other for other in service["depends_on"] if other != "migrate"}
            assert waited_for == {"redis", "qdrant"}
    for name in ("postgres", "redis", "qdrant"):
        assert "test" in SERVICES[name]["healthcheck"]


def test_every_container_is_confined() -> None:
    for name, service in SERVICES.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["tmpfs"][0] == "/tmp", name
        assert "privileged" not in service


def test_only_the_api_is_reached_from_outside_and_by_default_from_this_machine_alone() -> None:
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["api"]
    assert SERVICES["api"]["ports"] == ["${STRATA_LISTEN:-127.0.0.1:8000}:8000"]
    assert COMPOSE["networks"]["inside"]["internal"] is True
    for name in ("postgres", "redis", "qdrant", "migrate"):
        assert SERVICES[name]["networks"] == ["inside"]


def test_no_secret_has_a_default() -> None:
    used = {match[0]: match[1] for match in VARIABLE.findall(TEXT)}
    assert {name for name, kind in used.items() if kind == "?"} == set(SECRETS)
    assert {name for name, kind in used.items() if kind != "?"} == {"STRATA_IMAGE", "STRATA_LISTEN"}
    guide = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    assert all(name in guide for name in SECRETS)
    assert ".env" in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()


def test_what_holds_data_has_a_volume_and_the_queue_forgets_nothing() -> None:
    mounted = {volume.partition(":")[0] for service in SERVICES.values() for volume in service["volumes"]}
    assert mounted == set(COMPOSE["volumes"])
    start = SERVICES["redis"]["command"][-1]
    assert "--appendonly yes" in start
    assert "--maxmemory-policy noeviction" in start


def test_images_are_pinned() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert {service["image"] for service in STRATA.values()} == {f"${{STRATA_IMAGE:-strata-rag:{version}}}"}
    for name, service in SERVICES.items():
        assert re.search(r":v?\d+\.\d+", service["image"]), name


def test_qdrant_is_one_that_the_client_works_with() -> None:
    major, minor = re.search(r":v(\d+)\.(\d+)", SERVICES["qdrant"]["image"]).groups()  # type: ignore[union-attr]
    assert (int(major), int(minor)) >= (1, 17)
    chart = yaml.safe_load((ROOT / "helm/strata/charts/qdrant/values.yaml").read_text(encoding="utf-8"))
    assert SERVICES["qdrant"]["image"].endswith(f":{chart['image']['tag']}")
