"""Prompts are two messages: fixed instructions, and data as JSON, so that text of a document cannot pose as either."""

import json

from pydantic import JsonValue

from pipelines.core.models import Message


def prompt(instructions: str, data: dict[str, JsonValue]) -> list[Message]:
    """The messages of one model call."""
    return [
        Message(role="system", content=instructions),
        Message(role="user", content=json.dumps(data, ensure_ascii=False)),
    ]
