from pathlib import Path
from typing import Any

import pytest

from pipelines.core.models import ModelTiers
from pipelines.core.settings import Settings
from services.cli.privacy import departures, kept


def leaving(**sections: Any) -> list[str]:
    settings = Settings.model_validate(sections)
    return departures(settings, ModelTiers(settings.models, settings.model_calls).describe())


def model(name: str, target: str, **params: str) -> dict[str, Any]:
    return {"model_name": name, "litellm_params": {"model": target, "api_key": "os.environ/NO_SUCH_KEY", **params}}


def test_by_default_nothing_leaves() -> None:
    assert leaving() == []


def test_only_what_stages_use_counts() -> None:
    assert leaving(models=[model("large", "gemini/pro")]) == []


def test_a_remote_model_and_its_fallbacks_are_named_for_their_stage() -> None:
    models = [
        {**model("here", "openai/x", api_base="http://127.0.0.1:9"), "fallbacks": ["there"]},
        model("there", "gemini/pro"),
    ]
    [sentence] = leaving(models=models, stages={"synthesize": "here"})
    assert sentence.startswith("synthesize: the question and the evidence go to gemini/pro")
    assert sentence.endswith("when `here` cannot be reached.")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_servers_on_this_machine_stay_here(host: str) -> None:
    index, state = {"mode": "server", "url": f"http://{host}:6333"}, {"url": f"postgresql+psycopg://u:p@{host}/db"}
    assert leaving(index=index, state=state) == []


def test_servers_elsewhere_are_named_without_their_passwords() -> None:
    index = {"mode": "server", "url": "https://u:secret@index.example:6333?key=secret"}
    sentences = leaving(index=index, state={"url": "postgresql+psycopg://u:secret@state.example/db"})
    assert len(sentences) == 2
    assert "https://index.example:6333" in sentences[0]
    assert "postgresql+psycopg://state.example/db" in sentences[1]
    assert "secret" not in "".join(sentences)


def test_a_broker_and_a_collector_elsewhere_are_named_without_their_passwords() -> None:
    servers = {
        "index": {"mode": "server", "url": "http://127.0.0.1:6333"},
        "state": {"url": "postgresql+psycopg://u@127.0.0.1/db"},
    }
    collector = {"otlp_endpoint": "http://collector.example:4318"}
    sentences = leaving(**servers, queue={"url": "redis://:secret@queue.example:6379/0"}, telemetry=collector)
    assert [sentence.partition(":")[0] for sentence in sentences] == ["queue", "telemetry"]
    assert "redis://queue.example:6379/0" in sentences[0]
    assert "http://collector.example:4318" in sentences[1]
    assert "secret" not in "".join(sentences)
    here = {"queue": {"url": "redis://127.0.0.1:6379/0"}, "telemetry": {"otlp_endpoint": "http://localhost:4318"}}
    assert leaving(**servers, **here) == []


def test_an_encoder_from_a_hub_is_named_and_one_from_a_folder_is_not(tmp_path: Path) -> None:
    assert "fetched from a model hub" in leaving(encoder={"model": "some/encoder"})[0]
    assert leaving(encoder={"model": str(tmp_path)}) == []


def test_an_object_store_elsewhere_is_named_without_its_secrets() -> None:
    options = {"key": "k", "secret": "hidden"}
    [sentence] = leaving(blobs={"url": "s3://bucket/strata", "options": options})
    assert sentence == "blobs: submitted files and their texts go to the object store at s3://bucket/strata."
    assert leaving(blobs={"url": "s3://bucket", "options": {**options, "endpoint_url": "http://127.0.0.1:9000"}}) == []
    assert leaving(blobs={"url": "file:///srv/blobs"}) == []


def test_what_is_kept_with_consent_is_said_and_where_it_goes() -> None:
    assert kept(Settings()) is None
    sections: dict[str, Any] = {"traces": {"consent": True, "share": 0.25, "keep_days": 7}}
    said = kept(Settings.model_validate(sections)) or ""
    assert "of 25% of all questions" in said
    assert "for 7 days" in said
    assert leaving(**sections) == []
    state = {"url": "postgresql+psycopg://u@state.example/db"}
    assert "passages" in leaving(**sections, state=state)[0]
    assert "passages" not in leaving(state=state)[0]
