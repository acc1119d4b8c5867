import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from services.cli import main as cli
from services.cli.render import console

Call = Callable[..., tuple[int, str, str]]
REMOTE = """
models:
  - model_name: large
    litellm_params: {model: gemini/gemini-2.5-pro, api_key: os.environ/STRATA_TEST_KEY}
stages: {synthesize: large}
index: {mode: server, url: "http://localhost:6333", api_key: hunter2}
"""


@pytest.fixture
def strata(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Call:
    def call(config: str, *arguments: str) -> tuple[int, str, str]:
        console.cache_clear()
        file = tmp_path / "strata.yaml"
        file.write_text(config, encoding="utf-8")
        monkeypatch.setattr(
            sys, "argv", ["strata", "--config", str(file), "--data-dir", str(tmp_path / "data"), *arguments]
        )
        monkeypatch.setattr(cli, "_tell_libraries", lambda verbose: None)
        with pytest.raises(SystemExit) as ended:
            cli.main()
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return call


def test_check_of_the_defaults_says_that_nothing_leaves(strata: Call) -> None:
    code, out, _ = strata("", "config", "check")
    assert code == 0
    assert "Nothing leaves this machine" in out
    assert [line.split()[0] for line in out.splitlines()[3:7]] == ["plan", "prune", "synthesize", "cite"]


def test_check_names_what_is_missing_and_fails(strata: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STRATA_TEST_KEY", raising=False)
    code, out, err = strata(REMOTE, "config", "check")
    assert code == 1
    assert "set STRATA_TEST_KEY" in out
    assert err.startswith("error: ")
    assert "Nothing leaves" not in out


def test_check_says_what_goes_where(strata: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRATA_TEST_KEY", "sk-secret")
    code, out, _ = strata(REMOTE, "config", "check")
    assert code == 0
    assert "Leaves this machine: synthesize: the question and the evidence go to gemini/gemini-2.5-pro" in out
    assert "sk-secret" not in out


def test_check_of_an_unknown_model_makes_no_promise(strata: Call) -> None:
    code, out, err = strata("stages: {plan: smal}", "config", "check")
    assert code == 1
    assert "unknown" in out
    assert "Nothing leaves" not in out
    assert "stages.plan" in err


def test_show_masks_secrets_and_has_the_data_folder_of_the_command_line(strata: Call, tmp_path: Path) -> None:
    _, out, _ = strata(REMOTE, "config", "show")
    values = yaml.safe_load(out)
    assert values["data_dir"] == str(tmp_path / "data")
    assert values["stages"]["synthesize"] == "large"
    assert "hunter2" not in out
    code, out, _ = strata(REMOTE, "config", "show", "--json")
    assert (code, json.loads(out)) == (0, values)


def test_an_unknown_key_is_refused_with_its_line(strata: Call) -> None:
    code, _, err = strata("retreive: {}", "config", "show")
    assert code == 1
    assert "line 1" in err
    assert "retrieve" in err
