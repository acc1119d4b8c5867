"""The log of a service process: one line or one JSON object an event, without what people wrote and without secrets.

Strata's own code logs no text of questions and documents. Libraries do: their values are left out, their sentences and
the types and stacks of their exceptions remain.
"""

import json
import logging
import re
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from types import TracebackType

from pydantic import BaseModel, SecretStr

from pipelines.core.errors import StrataError
from pipelines.core.models.secrets import Redactor, redactor
from pipelines.core.settings import Settings
from pipelines.core.tracing import request_id, trace_id

OURS = ("services", "pipelines", "indexing")
TRUSTED = (*OURS, "uvicorn")
"""Loggers whose values may be shown; uvicorn's are addresses and numbers."""

_CREDENTIALS = re.compile(
    r"(?<=://)[^/@\s]+(?=@)|(?<=[?&]key=)[^&\s\"']+|(?<=token=)[^&\s\"']+|(?<=[Ss]ignature=)[^&\s\"']+|"
    r"\bstrata_[0-9a-f]{16}_[\w-]+"
)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")

SHORTEST = 6
"""A secret of fewer characters stands in too many words by chance."""

logger = logging.getLogger(__name__)


@contextmanager
def logging_as(settings: Settings, process: str) -> Iterator[None]:
    """Logs to standard error while the block runs, as `telemetry` says. Libraries are heard from warnings on.

    Args:
        process: What this process is, such as `api`.
    """
    telemetry = settings.telemetry
    clean = _Cleaner(redactor(settings.models), tuple(secrets(settings)))
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines(clean, process) if telemetry.log_format == "json" else TextLines(clean))
    level = logging.getLevelName(telemetry.log_level)
    root = logging.getLogger()
    levels = {"": max(logging.WARNING, level), "uvicorn": max(logging.INFO, level), **dict.fromkeys(OURS, level)}
    before = {name: logging.getLogger(name).level for name in levels}
    handlers, disabled, hooks = root.handlers[:], root.manager.disable, (threading.excepthook, sys.excepthook)
    root.handlers[:] = [handler]
    for name, least in levels.items():
        logging.getLogger(name).setLevel(least)
    logging.disable(logging.NOTSET)  # the command line turns logs off for a person; a service has a log
    threading.excepthook, sys.excepthook = _thread_fell, _process_fell
    try:
        yield
    finally:
        root.handlers[:] = handlers
        for name, least in before.items():
            logging.getLogger(name).setLevel(least)
        logging.disable(disabled)
        threading.excepthook, sys.excepthook = hooks


def secrets(settings: object) -> Iterator[str]:
    """Every secret of the settings, wherever it stands."""
    if isinstance(settings, SecretStr):
        if len(text := settings.get_secret_value()) >= SHORTEST:
            yield text
    elif isinstance(settings, BaseModel):
        for _, value in settings:
            yield from secrets(value)
    elif isinstance(settings, Mapping):
        for value in settings.values():
            yield from secrets(value)


class _Cleaner:
    """What may be shown of a record."""

    def __init__(self, redact: Redactor, known: tuple[str, ...]) -> None:
        self._redact, self._known = redact, Redactor(known)

    def message(self, record: logging.LogRecord) -> str:
        """The message, without secrets; of an unknown library only the sentence as its source has it."""
        trusted = record.name.partition(".")[0] in TRUSTED
        return self.text(record.getMessage() if trusted else str(record.msg).partition("\n")[0])

    def text(self, text: str) -> str:
        """The text without secrets and control characters."""
        return _CONTROL.sub("\ufffd", self._redact(_CREDENTIALS.sub("***", self._known(text))))

    def error(self, error: BaseException) -> tuple[str, str]:
        """Its type, with the sentence of one of Strata's own, and its stack: foreign messages may quote anything."""
        kind = f"{error.code}: {self.text(error.detail)}" if isinstance(error, StrataError) else type(error).__name__
        stack = "".join(traceback.format_tb(error.__traceback__))
        for cause in _causes(error):
            stack += f"after {type(cause).__name__}\n{''.join(traceback.format_tb(cause.__traceback__))}"
        return kind, stack.rstrip()


class TextLines(logging.Formatter):
    """For people: time, level, logger, message, and the request it belongs to."""

    def __init__(self, clean: _Cleaner) -> None:
        super().__init__()
        self._clean = clean

    def format(self, record: logging.LogRecord) -> str:
        """One record."""
        own = request_id.get()
        message = self._clean.message(record)
        belongs = f" [{own}]" if own and own not in message else ""
        line = f"{_time(record)} {record.levelname} {record.name}: {message}{belongs}"
        if record.exc_info and record.exc_info[1]:
            line += "\n" + "\n".join(self._clean.error(record.exc_info[1]))
        return line


class JsonLines(logging.Formatter):
    """For machines: one JSON object a line."""

    def __init__(self, clean: _Cleaner, process: str) -> None:
        super().__init__()
        self._clean, self._process = clean, process

    def format(self, record: logging.LogRecord) -> str:
        """One record."""
        fields = {
            "ts": _time(record),
            "level": record.levelname,
            "logger": record.name,
            "message": self._clean.message(record),
            "process": self._process,
            "request_id": request_id.get(),
            "trace_id": trace_id(),
        }
        if record.exc_info and record.exc_info[1]:
            fields["exception"], fields["stack"] = self._clean.error(record.exc_info[1])
        return json.dumps({name: value for name, value in fields.items() if value}, ensure_ascii=False)


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _causes(error: BaseException) -> list[BaseException]:
    seen = [error]
    while (cause := seen[-1].__cause__ or seen[-1].__context__) is not None and cause not in seen:
        seen.append(cause)
    return seen[1:]


def _thread_fell(args: threading.ExceptHookArgs) -> None:
    name = args.thread.name if args.thread else "?"
    logger.error("the thread %s fell", name, exc_info=args.exc_value)


def _process_fell(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    logger.critical("the process fell", exc_info=(kind, error, trace))
