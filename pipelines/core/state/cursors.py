"""Keyset cursors: where a page ended, as a text that clients hand back."""

import base64
import binascii
import json
from datetime import UTC, datetime

from pipelines.core.errors import InvalidRequestError


def encode(at: datetime, key: str) -> str:
    """The cursor after a record."""
    return base64.urlsafe_b64encode(json.dumps([at.isoformat(), key]).encode()).decode("ascii")


def decode(cursor: str) -> tuple[datetime, str]:
    """The record that a cursor stands behind.

    Raises:
        InvalidRequestError: it is no cursor.
    """
    try:
        at, key = json.loads(base64.urlsafe_b64decode(cursor))
        return datetime.fromisoformat(at).astimezone(UTC), str(key)
    except (ValueError, TypeError, OverflowError, binascii.Error) as error:
        raise InvalidRequestError("The cursor is not one that this service gave out.") from error
