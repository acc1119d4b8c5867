"""`strata traces` and `strata heads`, on a state of their own."""

import json
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from pipelines.core.encoders.spec import HEAD_FILE, HeadSpec
from pipelines.core.settings import Settings
from pipelines.core.state import TeacherLabel, Trace
from pipelines.core.tasks import PlanTask
from pipelines.core.types import Question, Turn
from services.cli import main as cli
from services.runtime import Runtime


class Done(NamedTuple):
    """How a command ended."""

    exit_code: int
    stdout: str
    stderr: str


Strata = Callable[..., Done]
REWRITE = {"standalone": "How tall is the tower of ann@a.org?", "queries": []}


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Runtime]:
    monkeypatch.setenv("STRATA_ENCODER__CACHE_DIR", str(tmp_path / "cache"))
    settings = Settings.model_validate({"data_dir": tmp_path, "encoder": {"cache_dir": tmp_path / "cache"}})
    with Runtime(settings) as runtime:
        yield runtime


@pytest.fixture
def strata(
    tmp_path: Path, runtime: Runtime, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Strata:
    """Runs a command on the same state."""
    monkeypatch.setattr(cli, "_tell_libraries", lambda verbose: None)  # it would silence the test run itself

    def run(*arguments: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["strata", "--data-dir", str(tmp_path), *arguments])
        code: Any = 0
        try:
            cli.main()
        except SystemExit as ended:
            code = ended.code
        captured = capsys.readouterr()
        return Done(code or 0, captured.out, captured.err)

    return run


@pytest.fixture
def recorded(runtime: Runtime) -> None:
    history = (Turn(role="user", text="Whose is the tower?"),)
    task = PlanTask(question=Question(text="How tall is it?", history=history), timeout_s=1)
    for number, tenant in enumerate(("acme", "acme", "other")):
        trace = Trace(
            id=f"t{number}", tenant=tenant, question_id=f"q{number}", stage="plan", created_at=datetime.now(UTC),
            config_version="c", tier="small", model="m", labels=None, task=task.model_dump(mode="json"), result={},
            replies=[{"tier": "small", "model": "m", "text": "no JSON", "finish_reason": "stop", "of_schema": False}],
            parse="failed", scores={},
        )  # fmt: skip
        runtime.traces.record([trace])
    runtime.traces.label("t0", TeacherLabel(tier="large", model="m", value=REWRITE))


@pytest.mark.usefixtures("recorded")
def test_records_are_counted_shown_and_deleted(strata: Strata) -> None:
    listed = strata("traces", "list")
    assert listed.stdout.split()[-7:] == ["plan", "0", "0", "0", "3", "large:", "1"]
    shown = [json.loads(line) for line in strata("traces", "list", "--json", "--tenant", "acme").stdout.splitlines()]
    assert [trace["id"] for trace in shown] == ["t0", "t1"]
    assert shown[0]["task"]["question"]["text"] == "How tall is it?"
    assert strata("traces", "delete").exit_code == 2, "all of them are deleted only if one says so"
    assert strata("traces", "delete", "--question", "q0").stdout == "1 records deleted.\n"
    assert strata("traces", "delete", "--tenant", "other").stdout == "1 records deleted.\n"
    assert strata("traces", "delete", "--all").stdout == "1 records deleted.\n"


@pytest.mark.usefixtures("recorded")
def test_what_is_exported_holds_no_personal_data(strata: Strata, tmp_path: Path) -> None:
    assert strata("traces", "export").exit_code == 2
    assert strata("traces", "export", "--trl").exit_code == 2
    assert strata("traces", "export", "--head", "resolve", "--stage", "cite").exit_code == 2
    out = tmp_path / "pairs.jsonl"
    done = strata("traces", "export", "--trl", "--stage", "plan", "--out", str(out))
    assert "1 lines of 1 labelled records" in done.stderr
    (pair,) = [json.loads(line) for line in out.read_text().splitlines()]
    assert json.loads(pair["chosen"][0]["content"])["standalone"] == "How tall is the tower of <EMAIL_1>?"
    assert pair["rejected"] == [{"role": "assistant", "content": "no JSON"}]
    assert strata("traces", "export", "--head", "resolve", "--tier", "another").stdout == ""
    (example,) = strata("traces", "export", "--head", "resolve").stdout.splitlines()
    assert json.loads(example)["second"] == "Whose is the tower?"
    assert strata("traces", "export", "--head", "resolve", "--out", str(tmp_path)).exit_code == 2
    assert sorted(path.name for path in tmp_path.glob("*.partial")) == []


def store(runtime: Runtime, folder: Path, version: str) -> None:
    folder.mkdir()
    HeadSpec(name="evidence", version=version, backbone="b", max_tokens=256).write(folder)
    (folder / HEAD_FILE).write_bytes(version.encode())
    figures: dict[str, Any] = {"paired": {"difference": 0.125, "interval": [0.0625, 0.25]}}
    runtime.head_store.add(folder, figures)


def test_versions_are_listed_accepted_and_rolled_back(strata: Strata, runtime: Runtime, tmp_path: Path) -> None:
    for version in ("a", "b"):
        store(runtime, tmp_path / version, version)
        assert strata("heads", "accept", "evidence", version).stdout == f"evidence {version} is live.\n"
    listed = strata("heads", "list").stdout
    assert "accepted, live" in listed
    assert "+0.1250 (+0.0625 to +0.2500)" in listed
    assert [each["status"] for each in json.loads(strata("heads", "list", "--json").stdout)] == ["retired", "accepted"]
    assert json.loads(strata("heads", "show", "evidence", "b", "--json").stdout)["version"] == "b"
    assert "difference" in strata("heads", "show", "evidence", "b").stdout
    assert strata("heads", "rollback", "evidence").stdout == "evidence a is live.\n"
    assert strata("heads", "rollback", "evidence").stdout == "evidence as it comes with Strata is live.\n"
    assert "nothing to go back from" in strata("heads", "rollback", "evidence").stderr
    assert "no version c" in strata("heads", "accept", "evidence", "c").stderr


def test_a_damaged_version_is_not_accepted(strata: Strata, runtime: Runtime, tmp_path: Path) -> None:
    store(runtime, tmp_path / "a", "a")
    (version,) = runtime.head_versions.versions()
    with runtime.blobs.local(version.blob_key) as path:
        path.write_bytes(b"x" * version.size_bytes)
    assert "damaged" in strata("heads", "accept", "evidence", "a").stderr
    assert runtime.head_versions.live() == {}


def test_a_file_that_is_no_examples_trains_nothing(strata: Strata, tmp_path: Path) -> None:
    (tmp_path / "few.jsonl").write_text('{"first": "q", "second": "p", "label": 1, "source": "traffic"}\n')
    (tmp_path / "bad.jsonl").write_text('{"first": "q"}\n')
    for name, reason in (("few", "too few questions"), ("bad", "line 1"), ("missing", "cannot be read")):
        done = strata("train", "evidence", "--traces", str(tmp_path / f"{name}.jsonl"))
        assert done.exit_code == 1
        assert reason in done.stderr
