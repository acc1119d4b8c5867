"""With network policies on, every pod of the release is behind one, and what must talk may."""

from typing import Any

from tests.support.chart import Manifest, of_kind, pod_specs, render, value_set


def labels(manifest: Manifest) -> dict[str, str]:
    found: dict[str, str] = manifest["metadata"]["labels"]
    return found


def policies_for(manifests: list[Manifest], pod: dict[str, str]) -> list[dict[str, Any]]:
    return [
        each["spec"]
        for each in of_kind(manifests, "NetworkPolicy").values()
        if each["spec"]["podSelector"]["matchLabels"].items() <= pod.items()
    ]


def may_enter(manifests: list[Manifest], pod: dict[str, str], port: str, peer: dict[str, str]) -> bool:
    for policy in policies_for(manifests, pod):
        for rule in policy.get("ingress", []):
            peers = [each.get("podSelector", {}).get("matchLabels") for each in rule.get("from", [])]
            if {"port": port} in rule["ports"] and any(each and each.items() <= peer.items() for each in peers):
                return True
    return False


def test_every_pod_is_behind_a_policy_of_both_directions() -> None:
    manifests = render(value_set("everything-on"))
    for manifest, _ in pod_specs(manifests):
        directions = {each for policy in policies_for(manifests, labels(manifest)) for each in policy["policyTypes"]}
        assert directions == {"Ingress", "Egress"}, manifest["metadata"]["name"]


def test_strata_reaches_its_servers_and_nobody_else_does() -> None:
    manifests = render(value_set("everything-on"))
    api = labels(of_kind(manifests, "Deployment")["strata-api"])
    worker = labels(of_kind(manifests, "Deployment")["strata-worker-prune"])
    stranger = {"app.kubernetes.io/name": "other", "app.kubernetes.io/instance": "strata"}
    test = labels(of_kind(manifests, "Pod")["strata-ready"])
    for server, port in (("strata-qdrant", "http"), ("strata-valkey", "redis")):
        pod = labels(of_kind(manifests, "StatefulSet")[server])
        assert may_enter(manifests, pod, port, api)
        assert may_enter(manifests, pod, port, worker)
        assert not may_enter(manifests, pod, port, stranger)
        leaves = [rule for policy in policies_for(manifests, worker) for rule in policy.get("egress", [])]
        targets = [
            peer["podSelector"]["matchLabels"]
            for rule in leaves
            for peer in rule.get("to", [])
            if "podSelector" in peer
        ]
        assert any(target.items() <= pod.items() for target in targets)
    assert may_enter(manifests, api, "http", test)
    assert not may_enter(manifests, worker, "http", test)


def test_by_default_there_is_none() -> None:
    assert of_kind(render(value_set("default")), "NetworkPolicy") == {}
