"""The golden path of the command line, with the real command, models and index, over the bundled examples."""

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines.core.blobs import FolderBlobs
from pipelines.core.settings import Settings
from pipelines.core.state import Ledger
from pipelines.core.types import DEFAULT_TENANT
from services.runtime import Runtime

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples" / "flying-club"
QUESTION = "What distracted the student pilot while taxiing to parking?"
SMALL_BATCHES = {"STRATA_INGEST__BATCH_PASSAGES": "8"}
DOCUMENTS = 12


def command(data: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "services.cli.main", "--data-dir", str(data), *arguments]


def strata(data: Path, *arguments: str, expect: int = 0, **env: str) -> subprocess.CompletedProcess[str]:
    """Runs the command as a person would whose output goes to a pipe."""
    done = subprocess.run(
        command(data, *arguments),
        cwd=ROOT,
        env=os.environ | env,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == expect, done.stderr
    return done


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with the examples in it."""
    data = tmp_path_factory.mktemp("library")
    report = json.loads(strata(data, "ingest", str(EXAMPLES), "--metadata", "kind=example", "--json").stdout)
    assert report["counts"] == {"indexed": 9}
    assert report["embedded"] == report["passages"] > 50
    return data


def counts(data: Path) -> dict[str, int]:
    with Ledger(data / "state.sqlite") as ledger:
        return {str(status): number for status, number in ledger.counts().documents.items() if number}


def test_every_citation_is_verbatim_in_the_stored_source(library: Path) -> None:
    answer = json.loads(strata(library, "ask", QUESTION, "--json", "--explain", "--filter", "kind=example").stdout)
    assert answer["status"] == "answered"
    assert "helicopter" in answer["text"]
    assert answer["citations"]
    assert {fate["outcome"] for fate in answer["fates"]} >= {"cited"}
    blobs = FolderBlobs(library / "blobs")
    with Ledger(library / "state.sqlite") as ledger:
        for citation in answer["citations"]:
            document = ledger.document(citation["document_id"], DEFAULT_TENANT)
            assert document.text_key is not None
            source = "".join(blobs.read_text(document.text_key))
            assert source[citation["start"] : citation["end"]] == citation["quote"]
            assert f"[{citation['number']}]" in answer["text"]
            assert citation["page"] == 1
        assert ledger.receipts.of(answer["id"], DEFAULT_TENANT).receipt.stages


def test_piped_output_is_plain_and_complete(library: Path) -> None:
    done = strata(library, "ask", QUESTION)
    assert "\x1b" not in done.stdout
    assert done.stderr == ""
    assert "[1] " in done.stdout
    assert "— page 1\n    “" in done.stdout
    assert "\n    examples/flying-club/accident-reports/SEA08CA052-fullerton-taxiing.pdf\n" in done.stdout
    for stage in ("plan", "retrieve", "prune", "synthesize", "cite", "total"):
        assert any(line.startswith(stage) for line in done.stdout.splitlines())


def test_on_a_terminal_the_answer_streams_and_the_verified_text_stays(library: Path) -> None:
    code, shown = on_terminal(command(library, "ask", QUESTION))
    assert code == 0
    assert "\x1b[" in shown
    assert shown.count("helicopter") > 2, "the text appears while it is written, and again as the answer"
    assert shown.rindex("“") < shown.rindex("Large-model tokens avoided")


def test_a_question_beside_the_subject_ends_as_insufficient_evidence(library: Path) -> None:
    done = strata(library, "ask", "Who won the football world cup in 1998?", expect=3)
    assert "Insufficient evidence" in done.stdout
    assert "[1]" not in done.stdout


def test_a_second_ingest_loads_no_model_and_embeds_nothing(library: Path) -> None:
    arguments = command(library, "ingest", str(EXAMPLES), "--metadata", "kind=example", "--json")
    arguments[1:1] = ["-X", "importtime"]
    done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    report = json.loads(done.stdout)
    assert report["counts"] == {"unchanged": 9}
    assert report["embedded"] == 0
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert not imported & {"torch", "haystack", "markitdown", "sentence_transformers", "qdrant_edge", "litellm"}


def test_bad_files_end_as_failed_with_a_reason_and_can_be_retried(tmp_path: Path) -> None:
    documents, data = tmp_path / "documents", tmp_path / "data"
    documents.mkdir()
    (documents / "good.md").write_text("# Good\n\nThe hangar is blue.\n")
    (documents / "bad.pdf").write_bytes(os.urandom(2000))
    (documents / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    report = json.loads(strata(data, "ingest", str(documents), "--json", expect=1).stdout)
    assert report["counts"] == {"indexed": 1, "failed": 1}
    assert report["skipped"] == {"unsupported ending": 1}
    [failure] = report["failures"]
    assert failure["source"] == (documents / "bad.pdf").as_uri()
    assert "binary data" in failure["detail"]

    again = json.loads(strata(data, "ingest", str(documents), "--json", expect=1).stdout)
    assert again["counts"] == {"unchanged": 1, "failed": 1}
    assert "not tried again" in again["failures"][0]["detail"]

    (documents / "bad.pdf").write_text("The hangar was painted on Monday.\n")  # mended, though no PDF: still refused
    mended = json.loads(strata(data, "ingest", str(documents), "--json", "--retry-failed", expect=1).stdout)
    assert "not tried again" not in mended["failures"][0]["detail"]
    ids = [document["id"] for document in json.loads(strata(data, "documents", "--json").stdout)]
    assert strata(data, "documents", "delete", *ids).stdout == "2 documents deleted.\n"
    assert counts(data) == {}


def interrupted(tmp_path: Path, sent: signal.Signals) -> tuple[Path, int, str]:
    """A data folder whose ingest got a signal half-way, with the exit code and what was told on standard error."""
    documents, data = tmp_path / "documents", tmp_path / "data"
    documents.mkdir()
    for number in range(DOCUMENTS):
        lines = [f"Hangar {number} holds aeroplane {part}; only its owner may move it." for part in range(100)]
        (documents / f"{number}.md").write_text("\n\n".join(lines))
    full = command(data, "ingest", str(documents))
    process = subprocess.Popen(full, cwd=ROOT, env=os.environ | SMALL_BATCHES, stderr=subprocess.PIPE, text=True)
    until(lambda: (data / "state.sqlite").exists() and counts(data).get("indexed", 0) > 0)
    process.send_signal(sent)
    _, told = process.communicate(timeout=30)
    before = counts(data)
    assert 0 < before["indexed"] < DOCUMENTS
    assert sum(before.values()) == DOCUMENTS
    return data, process.returncode, told


def test_a_killed_ingest_is_finished_by_the_next_and_nothing_is_there_twice(tmp_path: Path) -> None:
    data, code, _ = interrupted(tmp_path, signal.SIGKILL)
    assert code == -signal.SIGKILL
    indexed = counts(data)["indexed"]
    report = json.loads(strata(data, "ingest", "--json", **SMALL_BATCHES).stdout)
    assert counts(data) == {"indexed": DOCUMENTS}
    assert report["resumed"] == DOCUMENTS - indexed
    with Runtime(Settings(data_dir=data)) as runtime:
        found = runtime.ledger.documents(DEFAULT_TENANT).items
        assert len({document.source for document in found}) == DOCUMENTS
        assert runtime.store.info().passages == sum(document.passages for document in found)


def test_control_c_gives_work_back_and_says_how_to_go_on(tmp_path: Path) -> None:
    data, code, told = interrupted(tmp_path, signal.SIGINT)
    assert code == 130
    assert "`strata ingest` finishes them" in told
    assert "Traceback" not in told
    assert set(counts(data)) == {"indexed", "queued"}


def test_doctor_finds_what_is_wrong_and_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "state.sqlite").write_text("this is no database, and never was one" * 100)
    (tmp_path / "index").write_text("nor is this an index")
    findings = {f["what"]: f for f in json.loads(strata(tmp_path, "doctor", "--json", expect=1).stdout)}
    assert findings["encoder"]["state"] == "ok"
    assert findings["state"]["state"] == findings["index"]["state"] == "wrong"
    assert findings["state"]["remedy"]


def until(condition: Callable[[], Any], timeout_s: float = 60.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def on_terminal(arguments: list[str]) -> tuple[int, str]:
    """Runs a command on a terminal of its own and returns its exit code and everything it showed."""
    ours, theirs = pty.openpty()
    env = os.environ | {"TERM": "xterm-256color", "COLUMNS": "100", "LINES": "40"}
    process = subprocess.Popen(arguments, cwd=ROOT, env=env, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown = b"".join(_until_closed(ours))
    os.close(ours)
    return process.wait(timeout=60), shown.decode()


def _until_closed(descriptor: int) -> Iterator[bytes]:
    while True:
        try:
            piece = os.read(descriptor, 4096)
        except OSError:  # Linux tells so that the other side was closed
            return
        if not piece:
            return
        yield piece
