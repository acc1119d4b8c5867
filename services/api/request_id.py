"""The id that a request has in responses and in the log."""

import re
import uuid
from contextvars import ContextVar

HEADER = "X-Request-ID"
_ACCEPTED = re.compile(rb"[A-Za-z0-9._:-]{1,128}")

request_id: ContextVar[str] = ContextVar("request_id", default="")


def choose(sent: bytes | None) -> str:
    """The id that the client sent, or a new one where it sent none or one that could garble a log."""
    return sent.decode("ascii") if sent and _ACCEPTED.fullmatch(sent) else uuid.uuid4().hex
