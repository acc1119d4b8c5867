import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.core.errors import ConfigurationError
from pipelines.core.settings import Settings
from services.config import LoadedConfig, config_version, load, redacted
from services.config.reference import render
from services.config.schema import description, keys

PAGE = Path(__file__).parents[3] / "docs" / "configuration.md"


def load_text(folder: Path, text: str | bytes, **environ: str) -> LoadedConfig:
    path = folder / "strata.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load(path, environ)


def problems(folder: Path, text: str | bytes, **environ: str) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        load_text(folder, text, **environ)
    lines = caught.value.detail.splitlines()
    if len(lines) > 1:
        assert lines[0] == f"The configuration has {len(lines) - 1} problems:"
        return lines[1:]
    return lines


# --- Where settings come from ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "null", "retrieve:\nmodels:\nindex:\n  # mode: server\n"])
def test_an_empty_file_is_the_defaults(tmp_path: Path, text: str) -> None:
    assert load_text(tmp_path, text).settings == Settings()


def test_the_example_on_the_page_loads(tmp_path: Path) -> None:
    example = PAGE.read_text(encoding="utf-8").split("```yaml\n")[1].split("```")[0]
    settings = load_text(tmp_path, example).settings
    used = [settings.stages.of(stage) for stage in ("plan", "prune", "synthesize", "cite")]
    assert used == ["small", "encoder", "large", "encoder"]
    assert settings.models[1].fallbacks == ("small",)


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    loaded = load_text(
        tmp_path,
        "retrieve: {top_k: 7, candidates: 30}\ndata_dir: /a\n",
        STRATA_RETRIEVE__TOP_K="9",
        STRATA_DATA_DIR="/b",
        STRATA_API__PORT="",
        PATH="/bin",
    )
    assert (loaded.settings.retrieve.top_k, loaded.settings.retrieve.candidates) == (9, 30)
    assert loaded.settings.data_dir == Path("/b")
    assert loaded.settings.api.port == Settings().api.port


def test_lists_maps_and_sections_are_json_in_the_environment(tmp_path: Path) -> None:
    loaded = load_text(
        tmp_path,
        "index: {collection: a, metadata_fields: {title: keyword}}\nretrieve: {top_k: 5, rrf_k: 9}",
        STRATA_INDEX__METADATA_FIELDS='{"year": "integer"}',
        STRATA_RETRIEVE='{"top_k": 6}',
        STRATA_RETRIEVE__CANDIDATES="50",
        STRATA_MODELS='[{"model_name": "m", "litellm_params": {"model": "p/m", "timeout": 3}}]',
    ).settings
    assert loaded.index.metadata_fields == {"title": "keyword", "year": "integer"}
    assert (loaded.retrieve.top_k, loaded.retrieve.rrf_k, loaded.retrieve.candidates) == (6, 9, 50)
    assert loaded.models[0].litellm_params.model_dump() == {"model": "p/m", "timeout": 3}


def test_a_date_is_text(tmp_path: Path) -> None:
    text = "models: [{model_name: a, litellm_params: {model: azure/x, api_version: 2024-02-01}}]"
    (model,) = load_text(tmp_path, text).settings.models
    assert model.litellm_params.model_dump()["api_version"] == "2024-02-01"


def test_the_file_is_the_argument_then_the_variable_then_the_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load(environ={}).path is None
    for name, port in (("strata.yaml", 1), ("b.yaml", 2), ("c.yaml", 3)):
        (tmp_path / name).write_text(f"api: {{port: {port}}}")
    assert load(environ={}).settings.api.port == 1
    assert load(environ={"STRATA_CONFIG": "b.yaml"}).settings.api.port == 2
    assert load(Path("c.yaml"), {"STRATA_CONFIG": "b.yaml"}).settings.api.port == 3


def test_a_file_that_was_named_must_exist(tmp_path: Path) -> None:
    for arguments in ((tmp_path / "none.yaml", {}), (None, {"STRATA_CONFIG": str(tmp_path / "none.yaml")})):
        with pytest.raises(ConfigurationError, match=r"none\.yaml cannot be read: No such file"):
            load(*arguments)
    with pytest.raises(ConfigurationError, match="Is a directory"):
        load(tmp_path, {})


def test_what_kubernetes_and_the_tests_set_is_no_setting(tmp_path: Path) -> None:
    load_text(
        tmp_path,
        "",
        STRATA_PORT="tcp://10.0.0.1:80",
        STRATA_API_SERVICE_HOST="10.0.0.1",
        STRATA_API_SERVICE_PORT_HTTP="80",
        STRATA_API_PORT_80_TCP_ADDR="10.0.0.1",
        STRATA_TEST_POSTGRES_URL="x",
    )


def test_each_value_knows_its_place(tmp_path: Path) -> None:
    text = "api:\n  port: 1\nmodels:\n  - model_name: a\n    litellm_params: {model: p/m}\n"
    loaded = load_text(tmp_path, text, STRATA_API__HOST="::1")
    assert loaded.line_of(("models", 0, "litellm_params", "model")) == 5
    assert loaded.line_of(("models", 0, "fallbacks")) == 4
    assert loaded.line_of(("stages", "plan")) is None
    assert loaded.where(("api", "port")) == "strata.yaml line 2"
    assert loaded.where(("api", "host")) == "environment variable STRATA_API__HOST"
    assert loaded.where(("stages", "plan")) == "strata.yaml"


# --- Mistakes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("\nretreive: {}\n", "strata.yaml line 2: unknown key `retreive`; did you mean `retrieve`?"),
        (
            "retrieve:\n  top_k: 3\n  topk: 3\n",
            "strata.yaml line 3: unknown key `retrieve.topk`; did you mean `retrieve.top_k`?",
        ),
        ("top_k: 3\n", "strata.yaml line 1: unknown key `top_k`; did you mean `retrieve.top_k`?"),
        ("model-calls: {}\n", "strata.yaml line 1: unknown key `model-calls`; did you mean `model_calls`?"),
        ("zzz: 1\n", "strata.yaml line 1: unknown key `zzz`."),
        ("? [a]\n: 1\n", "strata.yaml line 1: a key must be a plain word."),
        (
            "models:\n- model_name: a\n  litellm_params: {model: x}\n  fallback: [b]\n",
            "strata.yaml line 4: unknown key `models[0].fallback`; did you mean `models[0].fallbacks`?",
        ),
        ("models:\n- model_name: a\n", "strata.yaml line 2: `models[0].litellm_params` is missing."),
        (
            "retrieve:\n  top_k: 0\n",
            "strata.yaml line 2: `retrieve.top_k` is 0, but input should be greater than or equal to 1.",
        ),
        (
            "index:\n  mode: remote\n",
            "strata.yaml line 2: `index.mode` is 'remote', but input should be 'embedded' or 'server'.",
        ),
        ("prune: 7\n", "strata.yaml line 1: `prune` is 7, but must be a map of keys to values."),
        ("index: {mode: server}", "strata.yaml: index.mode is `server`: set index.url to the server's address."),
        ("api:\n  port: 1\n  port: 2\n", "strata.yaml line 3: `api.port` is set twice, first in line 2."),
        ("a: [\n", "strata.yaml line 2, column 1: expected the node content, but found '<stream end>'."),
        ("api:\n\tport: 1\n", "strata.yaml line 2, column 1: found character '\\t' that cannot start any token."),
        ("a: 1\n---\nb: 2\n", "strata.yaml line 2, column 1: but found another document."),
        (
            "stages: !!python/object/apply:os.system {plan: x}\n",
            "strata.yaml line 1: `stages`: the tag tag:yaml.org,2002:python/object/apply:os.system is not allowed.",
        ),
        ("- 1\n", "strata.yaml line 1: the file must hold keys and values such as `stages:`."),
        ("a" + "[" * 5000, "strata.yaml line 1: the file must hold keys and values such as `stages:`."),
        ("a: " + "[" * 5000, "strata.yaml: values are nested too deeply."),
        ("a: &a [*a]\n", "strata.yaml: values are nested too deeply."),
        ("data_dir: !!python/name:os.system x\n", "line 1, column 11: could not determine a constructor for the tag"),
        ("data_dir: !!int many\n", "strata.yaml line 1: `data_dir`: invalid literal for int()"),
        (b"a: \xff\n", "the file is not UTF-8 text."),
        (b"a: \x00\n", "strata.yaml: unacceptable character"),
    ],
)
def test_a_mistake_is_named_with_its_place(tmp_path: Path, text: str | bytes, problem: str) -> None:
    (found,) = problems(tmp_path, text)
    assert problem in found


def test_aliases_cannot_blow_the_file_up(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    (found,) = problems(tmp_path, "\n".join(lines))
    assert "too much" in found


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("STRATA_RETRIEVE__TOPK", "1", "sets no known key; did you mean STRATA_RETRIEVE__TOP_K?"),
        ("STRATA_RETREIVE__TOP_K", "1", "sets no known key; did you mean STRATA_RETRIEVE__TOP_K?"),
        ("STRATA_RETRIEVE_TOP_K", "1", "sets no known key; did you mean STRATA_RETRIEVE__TOP_K?"),
        ("STRATA_RETRIEVE__TOP_K__X", "1", "sets no known key."),
        ("STRATA_", "1", "sets no known key."),
        ("STRATA_ZZZ", "1", "sets no known key."),
        ("STRATA_MODELS__0__MODEL_NAME", "1", "give JSON in STRATA_MODELS."),
        ("STRATA_MODELS", "[{", "the value must be JSON"),
        ("STRATA_RETRIEVE__TOP_K", "many", "`retrieve.top_k` is 'many', but input should be a valid integer"),
    ],
)
def test_a_mistake_in_the_environment_names_the_variable(tmp_path: Path, name: str, value: str, problem: str) -> None:
    (found,) = problems(tmp_path, "", **{name: value})
    assert found.startswith(f"environment variable {name}")
    assert problem in found


def test_all_mistakes_are_reported_at_once(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        "apii: {}\napi: {port: x, port: 1}\nretrieve: {top_k: -1, rrf_k: x}\n",
        STRATA_X="1",
        STRATA_MODELS="{",
        STRATA_API__MAX_FILES="0",
    )
    assert len(found) == 8


def test_secrets_are_not_repeated_in_errors(tmp_path: Path) -> None:
    text = "index: {api_key: [hunter2]}\nstate: {url: 12345678}\nmodels: {api_key: hunter2}\n"
    found = problems(tmp_path, text, STRATA_MODELS='["hunter2')
    assert len(found) == 4
    assert not any(secret in line for line in found for secret in ("hunter2", "12345678"))


# --- The version -----------------------------------------------------------------------------------------------------


def test_the_version_names_the_settings_and_not_the_secrets(tmp_path: Path) -> None:
    text = "models: [{model_name: a, litellm_params: {model: p/m, api_key: %s, max_tokens: 5}}]\nindex: {api_key: %s}"
    versions = {config_version(load_text(tmp_path, text % (key, key)).settings) for key in ("one", "two")}
    assert len(versions) == 1
    (version,) = versions
    assert len(version) == 12
    assert (
        config_version(load_text(tmp_path, text % ("one", "one"), STRATA_PRUNE__MAX_PASSAGES="9").settings) != version
    )
    assert config_version(Settings()) == config_version(load_text(tmp_path, "").settings)


def test_what_is_shown_holds_no_secret(tmp_path: Path) -> None:
    text = """
models:
  - model_name: a
    litellm_params:
      model: p/m
      api_key: hunter2
      api_base: https://me:hunter2@example.org/v1
      extra_headers: {Authorization: hunter2}
      vertex_credentials: {private: hunter2}
      aws_session_token: hunter2
      max_tokens: 5
  - model_name: b
    litellm_params: {model: p/n, api_key: os.environ/KEY}
index: {url: "http://me:hunter2@example.org", api_key: hunter2}
state: {url: "postgresql://me:hunter2@example.org/x"}
"""
    shown = redacted(load_text(tmp_path, text).settings)
    assert "hunter2" not in repr(shown)
    assert shown["models"][0]["litellm_params"]["max_tokens"] == 5
    assert shown["models"][0]["litellm_params"]["api_base"] == "https://example.org/v1"
    assert shown["models"][1]["litellm_params"]["api_key"] == "os.environ/KEY"


# --- The reference ---------------------------------------------------------------------------------------------------


def test_the_reference_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == render(), (
        "run: python -m services.config.reference docs/configuration.md"
    )


def test_every_key_is_described() -> None:
    assert [key.path for key in keys() if not description(key.field)] == []


def test_the_module_writes_the_page(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "services.config.reference", str(tmp_path / "page.md")]
    subprocess.run(command, check=True, cwd=PAGE.parents[1])
    assert (tmp_path / "page.md").read_text(encoding="utf-8") == render()
