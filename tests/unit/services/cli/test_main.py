"""The command itself: fast to start, honest about errors, current in the docs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.core.errors import InvalidRequestError
from pipelines.core.types import Question, Turn
from services.cli import main as cli
from services.cli.reference import render

ROOT = Path(__file__).parents[4]
HEAVY = ("torch", "haystack", "litellm", "transformers", "qdrant_client", "qdrant_edge", "fastapi", "celery")
SLOW = ("numpy", "sqlalchemy", "httpx", "markitdown", "trafilatura", "sentence_transformers", "yaml", "asyncio")
OURS = ("pipelines.core.settings", "services.runtime")


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int | str | None:
    """The exit code of a call in this process."""
    monkeypatch.setattr(sys, "argv", ["strata", *arguments])
    monkeypatch.setattr(cli, "_tell_libraries", lambda verbose: None)  # it would silence the test run itself
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return ended.value.code


def test_importing_the_command_line_loads_nothing_heavy() -> None:
    code = f"import sys, services.cli.main; print([name for name in {HEAVY + SLOW + OURS} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_reference_page_is_current() -> None:
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert page == render(), "docs/cli.md is not current: run `make docs`"


def test_help_names_every_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, "--help") == 0
    shown = capsys.readouterr().out
    for command in ("ingest", "ask", "search", "documents", "serve", "config", "doctor", "evaluate"):
        assert f" {command} " in shown


def test_version(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, "--version") == 0
    assert capsys.readouterr().out.startswith("strata ")


def test_an_error_is_one_line_and_exit_code_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run(monkeypatch, "--data-dir", str(tmp_path), "documents", "show", "nobody") == 1
    captured = capsys.readouterr()
    assert captured.err == "error: There is no document nobody.\n"
    assert captured.out == ""


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("ask",), "give a question"),
        (("ask", "why", "--history", "/does/not/exist"), "cannot be read"),
        (("ingest", "/does/not/exist"), "does not exist"),
        (("ingest",), "nothing is left to finish"),
        (("ingest", __file__, "--metadata", "year"), "is not of the form key=value"),
        (("documents", "--status", "lost"), "is none of queued"),
        (("search", "x", "--limit", "0"), "greater than or equal"),
    ],
)
def test_wrong_usage_is_exit_code_2(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    arguments: tuple[str, ...],
    reason: str,
) -> None:
    assert run(monkeypatch, "--data-dir", str(tmp_path), *arguments) == 2
    assert reason in " ".join(capsys.readouterr().err.split())


def test_ask_hands_earlier_turns_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked = []

    async def answer(_runtime: object, question: Question, _quiet: bool) -> None:
        asked.append(question)
        raise InvalidRequestError("enough")

    monkeypatch.setattr("services.cli.ask._answer", answer)
    (tmp_path / "turns").write_text('{"role": "user", "text": "Who won?"}')
    assert run(monkeypatch, "--data-dir", str(tmp_path), "ask", "When?", "--history", str(tmp_path / "turns")) == 1
    assert [question.history for question in asked] == [(Turn(role="user", text="Who won?"),)]


def test_serve_takes_host_and_port_from_the_command_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    served = []
    monkeypatch.setattr("services.api.serve", served.append, raising=False)
    assert run(monkeypatch, "--data-dir", str(tmp_path), "serve", "--host", "127.0.0.2", "--port", "0") == 0
    [settings] = served
    assert (settings.api.host, settings.api.port, settings.data_dir) == ("127.0.0.2", 0, tmp_path)


def test_a_reader_that_leaves_is_not_told_off(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "services.cli.main", "--data-dir", str(tmp_path), "config", "show"]
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(command, cwd=ROOT, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert done.stderr == ""
