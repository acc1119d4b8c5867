"""Structured output: the instruction that asks for it, and its reading."""

import json
import re
from collections.abc import Sequence
from functools import cache

from pydantic import BaseModel, ValidationError

from pipelines.core.models.values import Message, T

_FENCED = re.compile(r"\A\s*```(?:json)?\s*\n(.*)\n\s*```\s*\Z", re.DOTALL)


def with_schema(messages: Sequence[Message], schema: type[BaseModel]) -> list[Message]:
    """The messages with the schema written out, for models that cannot be bound to it."""
    instruction = f"Answer with one JSON object that follows this JSON schema, and nothing else:\n{_written(schema)}"
    first, *rest = messages
    if first.role == "system":
        return [Message(role="system", content=f"{first.content}\n\n{instruction}"), *rest]
    return [Message(role="system", content=instruction), *messages]


@cache
def _written(schema: type[BaseModel]) -> str:
    return json.dumps(schema.model_json_schema(), ensure_ascii=False)


def parse(text: str, schema: type[T]) -> T | None:
    """Reads a model's output, bare or in one code fence; `None` when it is not of the schema.

    Nothing is repaired: a model that cannot keep to a schema is better seen than patched.
    """
    fenced = _FENCED.match(text)
    try:
        return schema.model_validate_json(fenced.group(1) if fenced else text)
    except ValidationError:
        return None
