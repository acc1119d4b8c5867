"""Converter processes under real trouble: a parser that hangs, dies or eats memory, a parent that goes away."""

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

from indexing.convert import SourceFile
from indexing.convert.isolation import WorkerPool, WorkerProcess
from indexing.convert.sniff import Format
from pipelines.core.errors import DocumentError, DocumentTimeoutError, MalformedDocumentError
from pipelines.core.settings import MIB, ConvertSettings

pytestmark = pytest.mark.skipif(os.name != "posix", reason="named pipes and signals")


@pytest.fixture
def hanging(tmp_path: Path) -> SourceFile:
    """A file that reading never ends: a pipe that nobody writes to."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    return SourceFile(path=path, name="pipe.html")


@pytest.fixture
def page(tmp_path: Path) -> SourceFile:
    path = tmp_path / "page.html"
    path.write_text("<h1>Tides</h1>")
    return SourceFile(path=path, name="page.html")


@pytest.fixture
def pool():
    pool = WorkerPool(ConvertSettings(timeout_s=60))
    yield pool
    pool.close()


def text_of(pool: WorkerPool, source: SourceFile) -> str:
    return "".join(pool.convert(source, Format.HTML).parts)


def test_file_that_hangs_times_out_and_the_next_converts(pool, hanging, page):
    pool.warm_up()
    pool._idle[0]._timeout_s = 1.0  # of this process alone: on a busy machine the next takes longer to start
    with pytest.raises(DocumentTimeoutError, match="longer than 1 s"):
        pool.convert(hanging, Format.HTML)
    assert text_of(pool, page) == "# Tides\n"


def test_parser_that_crashes_takes_only_its_process_down(hanging):
    worker = WorkerProcess(ConvertSettings(timeout_s=30))
    crash = threading.Timer(0.3, os.kill, (worker.pid, signal.SIGSEGV))
    crash.start()
    request = {"path": str(hanging.path), "name": "a.html", "format": Format.HTML.value, "target": os.devnull}
    with pytest.raises(MalformedDocumentError, match="crashed its parser"):
        worker.run(request)
    assert not worker.usable


def test_worker_that_died_idle_is_replaced(pool, page):
    pool.warm_up()
    os.kill(pool._idle[0].pid, signal.SIGKILL)
    pool._idle[0].wait()
    assert text_of(pool, page) == "# Tides\n"


def test_closing_ends_a_conversion_at_work(hanging):
    pool = WorkerPool(ConvertSettings(timeout_s=60))
    closing = threading.Timer(0.5, pool.close)
    closing.start()
    start = time.monotonic()
    with pytest.raises(MalformedDocumentError):
        pool.convert(hanging, Format.HTML)
    assert time.monotonic() - start < 30
    closing.join()


def test_file_that_needs_more_memory_than_allowed_fails_alone(page, tmp_path):
    large = tmp_path / "large.html"
    large.write_text("<p>" + "<i>a</i>" * 2_000_000)
    pool = WorkerPool(ConvertSettings(timeout_s=60, max_memory_bytes=400 * MIB))
    try:
        with pytest.raises(DocumentError):
            pool.convert(SourceFile(path=large, name="large.html"), Format.HTML)
        assert text_of(pool, page) == "# Tides\n"
    finally:
        pool.close()


def test_several_threads_share_the_workers(page):
    pool = WorkerPool(ConvertSettings(workers=2))
    texts: list[str] = []
    threads = [threading.Thread(target=lambda: texts.append(text_of(pool, page))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(pool._idle) <= 2
    pool.close()
    assert texts == ["# Tides\n"] * 6


SCRIPT = """
import sys
from pathlib import Path
from indexing.convert import FileConverter, SourceFile
from indexing.convert.isolation import WorkerPool
from indexing.convert.sniff import Format
from pipelines.core.settings import ConvertSettings

print("main", flush=True)
pool = WorkerPool(ConvertSettings(timeout_s=60))
pool.warm_up()
print(pool._idle[0].pid, flush=True)
document = pool.convert(SourceFile(path=Path(sys.argv[1]), name="a.html"), Format.HTML)
print("".join(document.parts), flush=True)
pool.close()
"""


def run_script(tmp_path: Path, argument: Path) -> "subprocess.Popen[str]":
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    return subprocess.Popen(
        [sys.executable, str(script), str(argument)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(path or "." for path in sys.path)},
    )


def test_script_without_main_guard_runs_once(tmp_path, page):
    output, errors = run_script(tmp_path, page.path).communicate(timeout=60)
    assert errors == ""
    assert output.count("main") == 1
    assert output.rstrip().endswith("# Tides")


def lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_keyboard_interrupt_leaves_no_process_and_no_file_behind(tmp_path, hanging):
    process = run_script(tmp_path, hanging.path)
    assert process.stdout is not None
    assert process.stdout.readline() == "main\n"
    worker = int(process.stdout.readline())
    while not list(tmp_path.glob("strata-convert-*/*.md")):  # the conversion is under way
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    end = time.monotonic() + 30
    while lives(worker):
        assert time.monotonic() < end
        time.sleep(0.05)
    assert not list(tmp_path.glob("strata-convert-*"))


def test_what_a_killed_process_leaves_is_swept_by_the_next_and_nothing_else(tmp_path, monkeypatch, page, hanging):
    killed = run_script(tmp_path, hanging.path)
    living = run_script(tmp_path, hanging.path)
    for process in (killed, living):
        assert process.stdout is not None
        assert process.stdout.readline() == "main\n"
    while len(folders := set(tmp_path.glob("strata-convert-*/*.md"))) < 2:
        time.sleep(0.05)
    killed.kill()
    killed.communicate(timeout=60)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "strata-convert-link").symlink_to(page.path.parent)
    for folder in {each.parent for each in folders}:
        os.utime(folder, (0, 0))
    pool = WorkerPool(ConvertSettings())
    assert text_of(pool, page) == "# Tides\n"
    assert len(folders & set(tmp_path.glob("strata-convert-*/*.md"))) == 1
    assert page.path.exists()
    pool.close()
    living.send_signal(signal.SIGINT)
    living.communicate(timeout=60)
    assert [each.name for each in tmp_path.glob("strata-convert-*")] == ["strata-convert-link"]
