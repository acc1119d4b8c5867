"""The id that a request has in responses and in the log."""

import uuid

from pipelines.core.tracing import is_request_id, request_id

__all__ = ["HEADER", "choose", "request_id"]

HEADER = "X-Request-ID"


def choose(sent: bytes | None) -> str:
    """The id that the client sent, or a new one where it sent none or one that could garble a log."""
    text = sent.decode("latin-1") if sent else ""
    return text if is_request_id(text) else uuid.uuid4().hex
