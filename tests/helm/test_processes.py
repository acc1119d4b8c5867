"""What the chart's pods run: the commands, and settings that the program itself accepts."""

import math
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.core.settings import ROLES, Settings
from services.config import load
from services.queue.names import queue_name
from tests.support.chart import CHART, VALUE_SETS, Manifest, changed, environment, of_kind, pod_specs, render, value_set
from tests.support.commands import MIGRATE, SERVE, WORKERS, worker

ROOT = Path(__file__).parents[2]
SECRETS = {
    "database-url": "postgresql://strata:secret@db/strata",
    "uri": "postgresql://strata:secret@db/strata",
    "bootstrap-key": "b" * 32,
    "redis-password": "redis-secret",
    "password": "redis-secret",
    "qdrant-api-key": "qdrant-secret",
    "api-key": "qdrant-secret",
    "s3-access-key": "access-secret",
    "s3-secret-key": "s3-secret",
}


def strata(manifests: list[Manifest]) -> dict[str, dict[str, Any]]:
    """The pods that run Strata, by the component that they are."""
    return {
        manifest["metadata"]["labels"]["app.kubernetes.io/component"]: spec
        for manifest, spec in pod_specs(manifests)
        if manifest["kind"] in ("Deployment", "Job")
    }


def settings_of(manifests: list[Manifest], container: dict[str, Any], folder: Path) -> Settings:
    """As the container's process reads them."""
    variables = environment(container, SECRETS)
    if "STRATA_CONFIG" in variables:
        (configuration,) = (each for each in of_kind(manifests, "ConfigMap").values() if "strata.yaml" in each["data"])
        file = folder / "strata.yaml"
        file.write_text(configuration["data"]["strata.yaml"], encoding="utf-8")
        variables["STRATA_CONFIG"] = str(file)
    return load(environ=variables).settings


def longest_task_s(settings: Settings, roles: list[str]) -> float:
    seconds = {
        "serve": settings.answer.deadline_s,
        "plan": settings.plan.timeout_s,
        "prune": settings.prune.timeout_s,
        "cite": settings.cite.timeout_s,
        "ingest": settings.convert.timeout_s,
        "answers": settings.answer.deadline_s,
        "sync": settings.blobs.timeout_s,
    }
    return max(seconds[role] for role in roles)


def test_each_process_runs_the_command_that_the_tests_run() -> None:
    found = {name: tuple(spec["containers"][0]["args"]) for name, spec in strata(render(value_set("default"))).items()}
    expected = {f"worker-{role}": command for role, command in WORKERS.items()}
    assert found == {"api": SERVE, "migrate": MIGRATE, **expected}
    minimal = strata(render(value_set("minimal")))
    assert tuple(minimal["worker-all"]["containers"][0]["args"]) == worker(*ROLES)


def test_the_entry_point_is_the_image_s_own() -> None:
    assert all("command" not in spec["containers"][0] for spec in strata(render(value_set("default"))).values())


@pytest.mark.parametrize("name", VALUE_SETS)
def test_every_process_accepts_its_settings(name: str, tmp_path: Path) -> None:
    manifests = render(value_set(name))
    for component, spec in strata(manifests).items():
        (container,) = spec["containers"]
        settings = settings_of(manifests, container, tmp_path)
        assert settings.state.url is not None
        assert settings.state.url.get_secret_value() == SECRETS["database-url"]
        if component == "migrate":
            continue
        assert settings.distributed
        assert settings.encoder.threads == math.ceil(float(container["resources"]["limits"]["cpu"]))
        if component == "api":
            assert settings.api.host == "0.0.0.0"
            assert settings.api.keys == "required"
            assert settings.api.bootstrap_key is not None
        else:
            assert str(settings.queue.heartbeat_file) in container["livenessProbe"]["exec"]["command"][-1]


@pytest.mark.parametrize("name", VALUE_SETS)
def test_a_pod_is_given_more_time_to_end_than_its_longest_task_takes(name: str, tmp_path: Path) -> None:
    manifests = render(value_set(name))
    for component, spec in strata(manifests).items():
        if component == "migrate":
            continue
        (container,) = spec["containers"]
        settings = settings_of(manifests, container, tmp_path)
        command, *roles = container["args"]
        longest = longest_task_s(settings, roles or [command])
        if component == "api":
            assert settings.api.shutdown_s >= longest
            longest = 2 * settings.api.shutdown_s + container["lifecycle"]["preStop"]["sleep"]["seconds"]
        assert spec["terminationGracePeriodSeconds"] > longest


def test_redis_is_addressed_with_all_its_parts(tmp_path: Path) -> None:
    def url(values: dict[str, Any]) -> str:
        manifests = render(values)
        container = strata(manifests)["api"]["containers"][0]
        return settings_of(manifests, container, tmp_path).queue.url.get_secret_value()

    external = value_set("external-services")
    assert url(value_set("default")) == "redis://:redis-secret@strata-valkey:6379/0"
    assert url(external) == "rediss://strata:redis-secret@redis.example.com:6380/2"
    assert url(changed(external, redis__auth=False, redis__username="")) == "rediss://redis.example.com:6380/2"


def test_blobs_lie_on_one_volume_or_in_a_bucket(tmp_path: Path) -> None:
    manifests = render(value_set("default"))
    (claim,) = of_kind(manifests, "PersistentVolumeClaim")
    mounted = {
        component
        for component, spec in strata(manifests).items()
        if {"claimName": claim} in [volume.get("persistentVolumeClaim") for volume in spec["volumes"]]
    }
    assert mounted == {"api", "worker-ingest", "worker-answers", "worker-sync"}

    manifests = render(value_set("everything-on"))
    assert of_kind(manifests, "PersistentVolumeClaim") == {}
    blobs = settings_of(manifests, strata(manifests)["worker-ingest"]["containers"][0], tmp_path).blobs
    options = {name: value.get_secret_value() for name, value in blobs.options.items()}
    expected = {"endpoint_url": "https://minio.example.com", "key": "access-secret", "secret": "s3-secret"}
    assert (blobs.url, options) == ("s3://documents", expected)


def test_the_index_s_key_is_the_one_that_the_server_asks_for() -> None:
    manifests = render(value_set("default"))
    server = of_kind(manifests, "StatefulSet")["strata-qdrant"]["spec"]["template"]["spec"]["containers"][0]
    client = strata(manifests)["api"]["containers"][0]
    asked = environment(server, SECRETS)["QDRANT__SERVICE__API_KEY"]
    assert environment(client, SECRETS)["STRATA_INDEX__API_KEY"] == asked == SECRETS["qdrant-api-key"]


def test_a_changed_configuration_restarts_the_pods() -> None:
    def checksum(values: dict[str, Any]) -> str:
        template = of_kind(render(values), "Deployment")["strata-api"]["spec"]["template"]
        annotation: str = template["metadata"]["annotations"]["checksum/config"]
        return annotation

    values = value_set("default")
    assert checksum(values) != checksum(changed(values, config={"retrieve": {"top_k": 30}}))


def test_workers_scale_by_the_queue_that_they_serve() -> None:
    manifests = render(changed(value_set("everything-on"), queuePrefix="one"), namespace="rag")
    triggers = {
        name.removeprefix("strata-worker-"): each["spec"]["triggers"]
        for name, each in of_kind(manifests, "ScaledObject").items()
    }
    assert set(triggers) == set(ROLES)
    for role in ("plan", "prune", "cite"):
        (trigger,) = triggers[role]
        assert trigger["metadata"]["listName"] == queue_name("one", role)
        assert trigger["metadata"]["address"] == "strata-valkey.rag.svc:6379"
    assert {triggers[role][0]["type"] for role in ("ingest", "answers", "sync")} == {"postgresql"}


def test_what_scales_by_itself_has_no_fixed_number() -> None:
    for name, each in of_kind(render(value_set("everything-on")), "Deployment").items():
        assert "replicas" not in each["spec"], name
    for name, each in of_kind(render(value_set("default")), "Deployment").items():
        assert each["spec"]["replicas"] == (2 if name == "strata-api" else 1)


def test_versions_are_those_of_the_distribution() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    assert chart["appVersion"] == version
    images = {spec["containers"][0]["image"] for spec in strata(render(value_set("default"))).values()}
    assert images == {f"registry.example.com/strata:{version}"}
