"""What a log line shows, and above all what it does not."""

import io
import json
import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from pipelines.core import tracing
from pipelines.core.errors import IndexUnavailableError
from pipelines.core.settings import Settings
from services.telemetry.logs import logging_as

TEXT = "what Ada whispered"
KEY = "sk-0123456789abcdef0123"


@contextmanager
def logged(monkeypatch: pytest.MonkeyPatch, **sections: Any) -> Iterator[io.StringIO]:
    written = io.StringIO()
    monkeypatch.setattr(sys, "stderr", written)
    with logging_as(Settings.model_validate(sections), "api"):
        yield written


def foreign() -> Exception:
    try:
        try:
            raise KeyError(TEXT)
        except KeyError as error:
            raise ValueError(f"cannot read {TEXT!r}") from error
    except ValueError as error:
        return error


@pytest.mark.parametrize("form", ["text", "json"])
def test_foreign_exceptions_show_their_type_and_stack_only(monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    with logged(monkeypatch, telemetry={"log_format": form}) as written:
        logging.getLogger("services.x").error("it fell", exc_info=foreign())
        logging.getLogger("uvicorn.error").error("Exception in ASGI application", exc_info=foreign())
    shown = written.getvalue()
    assert TEXT not in shown
    assert shown.count("ValueError") >= 2
    assert "after KeyError" in shown
    assert "test_logs.py" in shown


def test_a_json_line_is_one_object_with_the_request_and_the_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    token = tracing.request_id.set("mine-1")
    with logged(monkeypatch, telemetry={"log_format": "json"}) as written:
        logging.getLogger("services.x").warning("two\nlines %s", "é\u2028\x1b[31m")
        error = IndexUnavailableError("the index at qdrant:6333 is away")
        logging.getLogger("services.x").error("no index", exc_info=error)
    tracing.request_id.reset(token)
    first, second = (json.loads(line) for line in written.getvalue().splitlines())
    assert first["message"] == "two\nlines é\ufffd\ufffd[31m"
    assert (first["level"], first["logger"], first["process"], first["request_id"]) == (
        "WARNING", "services.x", "api", "mine-1",
    )  # fmt: skip
    assert first["ts"].endswith("Z")
    assert second["exception"] == "index_unavailable: the index at qdrant:6333 is away"


def test_values_that_libraries_log_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    with logged(monkeypatch, telemetry={"log_level": "DEBUG"}) as written:
        logging.getLogger("celery.app.trace").error("Task %s raised unexpected: %s", "strata.plan", TEXT)
        logging.getLogger("asyncio").error(f"Task exception was never retrieved\nfuture: <Task exception={TEXT}>")
        for name in ("httpx", "botocore.endpoint", "LiteLLM", "qdrant_client", "sqlalchemy.engine"):
            logging.getLogger(name).info("sent %s", TEXT)
            logging.getLogger(name).debug(TEXT)
        logging.getLogger("services.x").debug("of our own")
    shown = written.getvalue()
    assert TEXT not in shown
    assert "Task %s raised unexpected: %s" in shown
    assert "Task exception was never retrieved" in shown
    assert "of our own" in shown
    assert len(shown.splitlines()) == 3


@pytest.mark.parametrize(
    "leak",
    [
        "postgresql://strata:hunter2-and-more@db/strata",
        "redis://:hunter2-and-more@redis:6379/0",
        "the password is hunter2-and-more",
        f"Incorrect API key provided: {KEY}",
        f"https://generativelanguage.googleapis.com/v1beta/models?key={KEY}",
        "Authorization: Bearer hunter2-and-more",
        f"strata_0123456789abcdef_{'Q' * 43}",
    ],
)
def test_secrets_are_replaced(monkeypatch: pytest.MonkeyPatch, leak: str) -> None:
    sections = {"state": {"url": "postgresql://strata:hunter2-and-more@db/strata"}}
    sections |= {"blobs": {"options": {"secret": "hunter2-and-more"}}}
    with logged(monkeypatch, **sections) as written:
        logging.getLogger("services.x").warning("it said %s", leak)
        logging.getLogger("kombu").warning(leak)
    assert "hunter2" not in written.getvalue()
    assert KEY not in written.getvalue()
    assert "QQQ" not in written.getvalue()
    assert written.getvalue().count("***") >= 2


def test_threads_that_fall_are_logged_without_their_message(monkeypatch: pytest.MonkeyPatch) -> None:
    def fall() -> None:
        raise foreign()

    with logged(monkeypatch) as written:
        thread = threading.Thread(target=fall, name="strata-x")
        thread.start()
        thread.join()
        sys.excepthook(ValueError, foreign(), None)
    assert TEXT not in written.getvalue()
    assert "the thread strata-x fell" in written.getvalue()
    assert "the process fell" in written.getvalue()


def test_the_set_up_ends_with_its_block(monkeypatch: pytest.MonkeyPatch) -> None:
    before = logging.getLogger().handlers[:], logging.getLogger("services").level, sys.excepthook
    with logged(monkeypatch, telemetry={"log_level": "DEBUG"}):
        assert logging.getLogger("services").level == logging.DEBUG
    assert (logging.getLogger().handlers[:], logging.getLogger("services").level, sys.excepthook) == before
