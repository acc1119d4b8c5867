"""No credential is ever in a manifest: only the names of Secrets are."""

import json

import pytest

from tests.support.chart import VALUE_SETS, of_kind, pod_specs, render, value_set

CREDENTIALS = ("STRATA_STATE__URL", "REDIS_PASSWORD", "STRATA_INDEX__API_KEY", "STRATA_API__BOOTSTRAP_KEY")


@pytest.mark.parametrize("name", VALUE_SETS)
def test_the_chart_makes_no_secret_and_reads_every_credential_from_one(name: str) -> None:
    manifests = render(value_set(name))
    assert of_kind(manifests, "Secret") == {}
    seen = set()
    for _, spec in pod_specs(manifests):
        for entry in spec["containers"][0].get("env", []):
            if entry["name"] in CREDENTIALS or entry["name"].endswith(("__KEY", "__SECRET", "AUTH")):
                assert set(entry["valueFrom"]) == {"secretKeyRef"}
                seen.add(entry["name"])
    assert set(CREDENTIALS) <= seen


def test_each_credential_may_lie_in_a_secret_of_its_own() -> None:
    used = set()
    for _, spec in pod_specs(render(value_set("external-services"))):
        (container,) = spec["containers"]
        used |= {secret["secretRef"]["name"] for secret in container.get("envFrom", [])}
        used |= {
            entry["valueFrom"]["secretKeyRef"]["name"]
            for entry in container.get("env", [])
            if "secretKeyRef" in entry.get("valueFrom", {})
        }
    assert used == {"postgres-app", "strata-bootstrap", "elasticache", "qdrant-cloud", "provider-keys"}


def test_the_models_keys_are_named_in_the_configuration_not_written() -> None:
    configuration = of_kind(render(value_set("external-services")), "ConfigMap")["strata"]
    assert "os.environ/GEMINI_API_KEY" in json.dumps(configuration)
