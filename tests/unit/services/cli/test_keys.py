"""`strata keys`, and the tenant and labels of the other commands."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from pipelines.core.settings import Settings
from services.cli import main as cli
from services.runtime import Runtime


@pytest.fixture
def strata(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Any:
    """Runs a command on a data folder of its own; gives its exit code, output and errors."""

    def run(*arguments: str) -> tuple[int | str | None, str, str]:
        monkeypatch.setattr(sys, "argv", ["strata", "--data-dir", str(tmp_path), *arguments])
        monkeypatch.setattr(cli, "_tell_libraries", lambda verbose: None)  # it would silence the test run itself
        try:
            cli.main()
            code: int | str | None = 0
        except SystemExit as ended:
            code = ended.code
        captured = capsys.readouterr()
        return code or 0, captured.out, captured.err

    return run


def test_a_key_is_shown_once_and_works(strata: Any, tmp_path: Path) -> None:
    code, out, err = strata(
        *("keys", "create", "--name", "team", "--tenant", "acme", "--scope", "ask", "--scope", "ingest"),
        *("--label", "red", "--rate", "7", "--expires", "90d"),
    )
    secret = out.strip()
    assert code == 0
    assert secret.startswith("strata_")
    assert secret not in err
    with Runtime(Settings(data_dir=tmp_path)) as runtime:
        key = runtime.keys.find(secret)
    assert key is not None
    assert (key.tenant, key.scopes, key.labels, key.rate_per_minute) == ("acme", ("ask", "ingest"), ("red",), 7)
    listed = strata("keys", "list", "--tenant", "acme", "--json")[1]
    assert [each["id"] for each in json.loads(listed)] == [key.id]
    assert secret.split("_", 2)[2] not in listed
    assert json.loads(strata("keys", "list", "--tenant", "globex", "--json")[1]) == []
    assert "red" in strata("keys", "list")[1]
    assert strata("keys", "revoke", key.id)[0] == 0
    assert "revoked" in strata("keys", "list")[1]


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [
        (("--scope", "root"), 1, "at least one scope"),
        (("--scope", "ask", "--tenant", "a b"), 1, "is no tenant"),
        (("--scope", "ask", "--label", "Not A Label"), 1, "is no access label"),
        (("--scope", "ask", "--label", "a", "--no-labels"), 2, "not both"),
        (("--scope", "ask", "--expires", "soon"), 2, "neither a period nor a date"),
        (("--scope", "ask", "--expires", "2001-01-01"), 1, "expired already"),
        ((), 2, "--scope"),
    ],
)
def test_what_is_no_key_is_refused(strata: Any, arguments: tuple[str, ...], code: int, reason: str) -> None:
    ended, out, err = strata("keys", "create", "--name", "k", *arguments)
    assert (ended, out) == (code, "")
    assert reason in err


def test_unknown_keys_are_not_revoked_and_no_other_with_them(strata: Any) -> None:
    made = json.loads(strata("keys", "create", "--name", "k", "--scope", "ask", "--no-labels", "--json")[1])
    assert made["labels"] == []
    assert strata("keys", "revoke", made["id"], "nobody")[0] == 1
    assert json.loads(strata("keys", "list", "--json")[1])[0]["revoked_at"] is None


def test_serving_beyond_this_machine_without_keys_says_how_to_mend_it(strata: Any) -> None:
    code, _, err = strata("serve", "--host", "0.0.0.0", "--port", "0")
    assert code == 1
    assert "strata keys create" in err


def test_commands_work_for_a_tenant(strata: Any) -> None:
    assert strata("documents", "--tenant", "a b")[0] == 1
    assert json.loads(strata("documents", "--tenant", "acme", "--json")[1]) == []
    assert strata("documents", "--tenant", "acme", "show", "nobody")[0] == 1
