"""`strata reindex`, as a person runs it."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from services.cli import main as cli
from services.runtime import Runtime
from tests.support.hash_encoder import HashEncoder
from tests.support.reindexing import SECTIONS, Process, text


@pytest.fixture
def strata(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Any:
    """Runs the command with a changed encoder on a data folder of its own; gives its exit code, output and errors."""
    process = Process(tmp_path, {"mode": "embedded"}, max_words=400)
    process.add(a=text("a"), b=text("b"))
    process.close()

    class Changed(HashEncoder):
        fingerprint = "hash@2"

    def run(*arguments: str) -> tuple[int | str | None, str, str]:
        monkeypatch.setattr(Runtime, "encoder", Changed())
        monkeypatch.setattr(sys, "argv", ["strata", "--data-dir", str(tmp_path), "reindex", *arguments])
        monkeypatch.setattr(cli, "_tell_libraries", lambda verbose: None)  # it would silence the test run itself
        try:
            cli.main()
            code: int | str | None = 0
        except SystemExit as ended:
            code = ended.code
        captured = capsys.readouterr()
        return code or 0, captured.out, captured.err

    return run


def test_it_tells_what_it_did_and_then_that_nothing_is_left(strata: Any) -> None:
    code, out, _ = strata()
    assert (code, out.startswith(f"2 documents with {2 * SECTIONS} passages, {2 * SECTIONS} of them embedded")) == (
        0,
        True,
    )
    assert strata()[1] == "The index is as configured: nothing to do.\n"
    code, out, err = strata("--force", "--json")
    result = json.loads(out)
    assert (code, result["changed"], result["documents"], err) == (0, True, 2, "")
    assert strata("--drop-old")[1] == "0 collections dropped\n"


def test_an_interrupt_says_that_nothing_has_changed(strata: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("services.documents.refill.Filling.fill", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
        code, out, err = strata()
    assert (code, out) == (130, "")
    assert "the live index is as it was" in err
    assert strata()[0] == 0
