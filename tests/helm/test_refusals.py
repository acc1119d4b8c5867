"""What cannot work is refused when the chart is rendered, and the message says what to do."""

from typing import Any

import helm_python
import pytest

from tests.support.chart import changed, render, value_set

GRACE = "terminationGracePeriodSeconds"


@pytest.mark.parametrize(
    ("values", "remedy"),
    [
        ({"image__repository": ""}, "build the image"),
        ({"global__existingSecret": ""}, "kubectl create secret generic"),
        ({"valkey__enabled": False}, "set redis.host"),
        ({"qdrant__enabled": False}, "set index.url"),
        ({"blobs__volume": {"accessModes": ["ReadWriteOnce"]}}, "ReadWriteMany"),
        ({"blobs__type": "s3"}, "blobs.s3.url"),
        ({"api__autoscaling__enabled": True, "api__replicas": 2}, "remove api.replicas"),
        ({"workers__prune": {"replicas": 3, "autoscaling": {"enabled": True}}}, "remove replicas"),
        ({"workerDefaults": {"replicas": 3, "autoscaling": {"enabled": True}}}, "remove replicas"),
        ({"workers__cite": {"autoscaling": {"enabled": True, "minReplicas": 0}}}, "set it to 1 or more"),
        ({"workers__sync": {"autoscaling": {"enabled": True, "minReplicas": 9}}}, "minReplicas is above maxReplicas"),
        ({"workers__plan": {"enabled": False}}, "enable workers.plan"),
        ({"workers__ingest": {GRACE: 120}}, "above 120"),
        ({"workers__ingest": {GRACE: 200}, "config": {"convert": {"timeout_s": 200}}}, "above 200"),
        ({f"api__{GRACE}": 60}, "above 120, twice api.shutdown_s"),
        ({"config": {"queue": {"url": "redis://:secret@host"}}}, "redis, or valkey.enabled"),
        ({"config": {"state": {"url": "postgresql://a:b@c/d"}}}, "credentials.database"),
        ({"config": {"data_dir": "/elsewhere"}}, "the chart mounts it"),
        ({"config": {"ingest": {"source_options": {"s3": {"key": "a"}}}}}, "STRATA_INGEST__SOURCE_OPTIONS"),
        (
            {"config": {"models": [{"model_name": "m", "litellm_params": {"model": "x/y", "api_key": "sk-1"}}]}},
            "write os.environ/NAME",
        ),
        ({"metrics": {"enabled": False, "rules": {"enabled": True}}}, "set metrics.enabled"),
    ],
)
def test_what_cannot_work_is_refused_with_its_remedy(values: dict[str, Any], remedy: str) -> None:
    with pytest.raises(helm_python.HelmRenderError) as refusal:
        render(changed(value_set("default"), **values))
    assert remedy in str(refusal.value)


@pytest.mark.parametrize(
    "values",
    [
        {"imag": {}},
        {"image__pullPolicy": "Sometimes"},
        {"image__tag": "a b"},
        {"api__replicas": "2"},
        {"api__resources": {"limits": {"memory": None}}},
        {"workers__prune": {"role": ["prune"]}},
        {"workers__prune": {"roles": ["prun"]}},
        {"workers": {"Prune": {}}},
        {"blobs__s3": {"url": "https://bucket"}},
        {"index__url": "qdrant:6333"},
        {"queuePrefix": "a b"},
        {"podSecurityContext": {"runAsNonRoot": False}},
        {"podSecurityContext": {"runAsUser": 0}},
        {"credentials__database": {"key": "a b"}},
        {"qdrant": {"replicas": 3}},
        {"valkey": {"auth": {"enabled": False}}},
    ],
)
def test_the_schema_knows_every_value(values: dict[str, Any]) -> None:
    with pytest.raises(helm_python.HelmValuesError):
        render(changed(value_set("default"), **values))
