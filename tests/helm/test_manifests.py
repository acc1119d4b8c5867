"""Every manifest of every value set: what Kubernetes accepts, how pods are confined, what they are called."""

from pathlib import Path
from typing import Any

import helm_python
import jsonschema
import kubernetes_validate
import pytest
import yaml

from tests.support.chart import CHART, VALUE_SETS, Manifest, of_kind, pod_specs, render, value_set

OLDEST, NEWEST = "1.30", kubernetes_validate.latest_version()
CUSTOM: dict[str, Any] = yaml.safe_load((Path(__file__).parent / "crds.yaml").read_text(encoding="utf-8"))
LONGEST_NAME = "a-release-name-as-long-as-helm-allows-it-to-be-53-xyz"


def validate(manifest: Manifest, version: str) -> None:
    kind = f"{manifest['apiVersion']} {manifest['kind']}"
    if kind in CUSTOM:
        jsonschema.validate(manifest["spec"], {"$defs": CUSTOM["$defs"], **CUSTOM[kind]})
        assert set(manifest) == {"apiVersion", "kind", "metadata", "spec"}
    else:
        kubernetes_validate.validate(manifest, version, strict=True)


@pytest.fixture(params=VALUE_SETS)
def manifests(request: pytest.FixtureRequest) -> list[Manifest]:
    return render(value_set(request.param))


def test_there_are_the_four_value_sets() -> None:
    assert VALUE_SETS == ("default", "everything-on", "external-services", "minimal")


@pytest.mark.parametrize("name", VALUE_SETS)
def test_lint_finds_nothing(name: str) -> None:
    report = helm_python.lint(CHART, value_set(name), strict=True, with_subcharts=True, kube_version=f"v{OLDEST}.0")
    assert report["errors"] == []
    assert [each for each in report["messages"] if "icon is recommended" not in each["error"]] == []


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_kubernetes_accepts_every_manifest(manifests: list[Manifest], version: str) -> None:
    for each in manifests:
        validate(each, version)


def test_the_validation_refuses_what_nobody_knows() -> None:
    found = render(value_set("everything-on"))
    for kind, error in (
        ("Deployment", kubernetes_validate.ValidationError),
        ("ScaledObject", jsonschema.ValidationError),
    ):
        one = next(iter(of_kind(found, kind).values()))
        one["spec"]["unknown"] = True
        with pytest.raises(error):
            validate(one, NEWEST)


def test_containers_are_confined_and_bounded(manifests: list[Manifest]) -> None:
    for manifest, spec in pod_specs(manifests):
        assert spec["automountServiceAccountToken"] is False
        assert spec["enableServiceLinks"] is False
        security = spec["securityContext"]
        assert security["runAsNonRoot"] is True
        assert security["runAsUser"] > 0
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in spec["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            for bound in ("requests", "limits"):
                assert set(container["resources"][bound]) == {"cpu", "memory"}
            if manifest["kind"] in ("Deployment", "StatefulSet"):
                assert {"startupProbe", "livenessProbe", "readinessProbe"} <= set(container)
                assert "/tmp" in {mount["mountPath"] for mount in container["volumeMounts"]}


def test_what_is_mounted_is_a_volume_and_no_variable_stands_twice(manifests: list[Manifest]) -> None:
    for manifest, spec in pod_specs(manifests):
        claims = manifest["spec"].get("volumeClaimTemplates", [])
        volumes = [each["name"] for each in spec.get("volumes", [])] + [each["metadata"]["name"] for each in claims]
        for container in spec["containers"]:
            assert {mount["name"] for mount in container.get("volumeMounts", [])} <= set(volumes)
            names = [entry["name"] for entry in container.get("env", [])]
            assert len(names) == len(set(names))
            assert len(volumes) == len(set(volumes))


def test_selectors_are_unique_and_find_their_own_pods(manifests: list[Manifest]) -> None:
    pods = {
        (each["kind"], each["metadata"]["name"]): each["spec"]["template"]["metadata"]["labels"].items()
        for each in manifests
        if each["kind"] in ("Deployment", "StatefulSet")
    }
    for each in manifests:
        if each["kind"] in ("Deployment", "StatefulSet"):
            selector = each["spec"]["selector"]["matchLabels"].items()
            assert [name for name, labels in pods.items() if selector <= labels] == [
                (each["kind"], each["metadata"]["name"])
            ]
        if each["kind"] == "PodDisruptionBudget":
            selector = each["spec"]["selector"]["matchLabels"].items()
            assert sum(selector <= labels for labels in pods.values()) == 1
    for service in of_kind(manifests, "Service").values():
        chosen = [labels for labels in pods.values() if service["spec"]["selector"].items() <= labels]
        assert len(chosen) == 1 or service["spec"]["clusterIP"] == "None"


def test_references_lead_to_what_is_there(manifests: list[Manifest]) -> None:
    made = {(each["kind"], each["metadata"]["name"]) for each in manifests}
    for each in manifests:
        spec = each.get("spec", {})
        if each["kind"] in ("HorizontalPodAutoscaler", "ScaledObject"):
            assert ("Deployment", spec["scaleTargetRef"]["name"]) in made
        for trigger in spec.get("triggers", []):
            if "authenticationRef" in trigger:
                assert ("TriggerAuthentication", trigger["authenticationRef"]["name"]) in made
    for manifest, spec in pod_specs(manifests):
        for volume in spec.get("volumes", []):
            if "configMap" in volume:
                assert ("ConfigMap", volume["configMap"]["name"]) in made
        if manifest["kind"] == "Deployment" and spec["serviceAccountName"] != "default":
            assert ("ServiceAccount", spec["serviceAccountName"]) in made


def test_the_migration_needs_nothing_of_its_own_release(manifests: list[Manifest]) -> None:
    (job,) = of_kind(manifests, "Job").values()
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    spec = job["spec"]["template"]["spec"]
    assert "serviceAccountName" not in spec
    assert [list(volume) for volume in spec["volumes"]] == [["name", "emptyDir"]]


@pytest.mark.parametrize("name", [LONGEST_NAME, "x", "my-strata"])
def test_names_fit_whatever_the_release_is_called(name: str) -> None:
    values = value_set("everything-on")
    values["workers"]["a-long-name-123"] = {"roles": ["sync"]}
    found = render(values, name=name)
    identities = [(each["kind"], each["metadata"]["name"]) for each in found]
    assert len(identities) == len(set(identities))
    for each in found:
        assert len(each["metadata"]["name"]) <= (52 if each["kind"] == "StatefulSet" else 63)
        assert all(len(label) <= 63 for label in each["metadata"]["labels"].values())


def test_two_releases_in_one_namespace_share_nothing() -> None:
    values = value_set("everything-on")
    names = [
        {(each["kind"], each["metadata"]["name"]) for each in render(values, name=f"{LONGEST_NAME[:-1]}{end}")}
        for end in "ab"
    ]
    assert names[0] & names[1] == set()


def test_the_package_holds_all_that_the_folder_renders(tmp_path: Path) -> None:
    archive = helm_python.package(CHART, destination=tmp_path)
    with helm_python.Chart.load(archive) as chart:
        packaged = chart.render(value_set("everything-on"), name="strata")
    with helm_python.Chart.load(CHART) as chart:
        assert packaged == chart.render(value_set("everything-on"), name="strata")
