"""Fails a test session that leaves servers, workers or commands running, and ends them."""

import os
import uuid
from collections.abc import Iterator

import psutil
import pytest

MARK = "STRATA_TEST_SESSION"
"""In the environment of everything that a session starts, so that a process is known whose parent was killed."""

PROGRAMS = ("redis-server", "postgres", "services.cli.main", "strata", "tests.support")


def pytest_configure() -> None:
    """Marks the session."""
    os.environ[MARK] = uuid.uuid4().hex


def pytest_sessionfinish(session: pytest.Session) -> None:
    """After the last fixture ended nothing may be left."""
    left = list(leftovers(os.environ[MARK]))
    for process, command in left:
        process.kill()
        print(f"\nThe tests left process {process.pid} running: {command}")
    if left:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def leftovers(mark: str) -> Iterator[tuple[psutil.Process, str]]:
    """Processes with the mark, or begun by this one, that run a program of ours; with their command lines."""
    begun = {process.pid for process in psutil.Process().children(recursive=True)}
    for process in psutil.process_iter():
        try:
            words = process.cmdline()
            ours = process.pid in begun or process.environ().get(MARK) == mark
        except psutil.Error:  # it ended just now, or is another user's
            continue
        if ours and process.pid != os.getpid() and any(_is_ours(word) for word in words[:4]):
            yield process, " ".join(words)


def _is_ours(word: str) -> bool:
    return any(
        word == name or word.endswith(f"/{name}") or word.startswith((f"{name} ", f"{name}.")) for name in PROGRAMS
    )
