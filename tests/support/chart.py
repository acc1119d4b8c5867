"""Renders the Helm chart without a cluster, and looks into what comes out."""

import copy
import math
from collections.abc import Hashable, Iterator
from pathlib import Path
from typing import Any

import helm_python
import yaml

CHART = Path(__file__).parents[2] / "helm" / "strata"
VALUE_SETS = tuple(sorted(path.name.removesuffix("-values.yaml") for path in (CHART / "ci").glob("*-values.yaml")))

Manifest = dict[str, Any]


class _Strict(yaml.SafeLoader):
    """Refuses a key that stands twice, which Kubernetes does too and PyYAML does not."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = {key for key in keys if keys.count(key) > 1}
        assert not twice, f"{twice} stands twice{node.start_mark}"
        return super().construct_mapping(node, deep)


def value_set(name: str) -> dict[str, Any]:
    """The values of `ci/NAME-values.yaml`."""
    values: dict[str, Any] = yaml.safe_load((CHART / "ci" / f"{name}-values.yaml").read_text(encoding="utf-8"))
    return values


def changed(values: dict[str, Any], **paths: Any) -> dict[str, Any]:
    """A copy with some values set: `api__replicas=3`."""
    values = copy.deepcopy(values)
    for path, value in paths.items():
        *parents, last = path.split("__")
        section = values
        for parent in parents:
            section = section.setdefault(parent, {})
        section[last] = value
    return values


def render(values: dict[str, Any], name: str = "strata", namespace: str = "default") -> list[Manifest]:
    """Every manifest.

    Raises:
        HelmValuesError: the schema refuses the values.
        HelmRenderError: a template refuses them.
    """
    with helm_python.Chart.load(CHART) as chart:  # anew: rendering takes disabled sub-charts out of it
        files = chart.render(values, name=name, namespace=namespace)
    texts = [text for path, text in files.items() if not path.endswith("NOTES.txt")]
    return [manifest for text in texts for manifest in yaml.load_all(text, _Strict) if manifest]


def of_kind(manifests: list[Manifest], kind: str) -> dict[str, Manifest]:
    """The manifests of a kind by name."""
    return {each["metadata"]["name"]: each for each in manifests if each["kind"] == kind}


def pod_specs(manifests: list[Manifest]) -> Iterator[tuple[Manifest, dict[str, Any]]]:
    """Every manifest that makes pods, and the specification of its pods."""
    for each in manifests:
        if each["kind"] == "Pod":
            yield each, each["spec"]
        elif "template" in each.get("spec", {}):
            yield each, each["spec"]["template"]["spec"]


def environment(container: dict[str, Any], secrets: dict[str, str]) -> dict[str, str]:
    """What a container's processes see, as the kubelet would fill it in.

    Args:
        secrets: Values by key, whatever Secret they lie in; a key that is not there is an optional one.
    """
    found: dict[str, str] = {}
    for entry in container.get("env", []):
        source = entry.get("valueFrom", {})
        if "secretKeyRef" in source:
            reference = source["secretKeyRef"]
            assert reference["name"]
            if reference["key"] in secrets or not reference.get("optional"):
                found[entry["name"]] = secrets[reference["key"]]
        elif "resourceFieldRef" in source:
            assert source["resourceFieldRef"]["resource"] == "limits.cpu"
            found[entry["name"]] = str(math.ceil(float(container["resources"]["limits"]["cpu"])))
        else:
            value = entry["value"]
            for name, known in found.items():
                value = value.replace(f"$({name})", known)
            found[entry["name"]] = value
    return found
