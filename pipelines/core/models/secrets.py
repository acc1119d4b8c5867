"""Keeps credentials out of messages."""

import os
import re
from collections.abc import Iterable, Mapping
from typing import Any

from pipelines.core.settings import ModelEntry

ENV_PREFIX = "os.environ/"
_SECRET_NAME = re.compile(r"key|token|secret|password|credential|authorization", re.IGNORECASE)
_KEY_LIKE = re.compile(r"\b(?:sk|pk|gsk|xai|AIza)[-_]?[A-Za-z0-9_\-*.]{12,}|(?<=[?&]key=)[^&\s\"']+|(?<=Bearer )\S+")
_MIN_SECRET = 6


def resolve(value: object) -> object:
    """LiteLLM's `os.environ/NAME` as the variable's value (`None` when unset or empty), anything else as it is."""
    if isinstance(value, str) and value.startswith(ENV_PREFIX):
        return os.environ.get(value.removeprefix(ENV_PREFIX)) or None
    return value


def redactor(entries: Iterable[ModelEntry]) -> "Redactor":
    """A redactor that knows the credentials of these entries and of the environment."""
    found: set[str] = set()
    for entry in entries:
        found.update(_secrets(entry.litellm_params.model_dump()))
    found.update(value for name, value in os.environ.items() if _SECRET_NAME.search(name))
    return Redactor(tuple(sorted((text for text in found if len(text) >= _MIN_SECRET), key=len, reverse=True)))


def _secrets(params: Mapping[str, Any]) -> Iterable[str]:
    for name, value in params.items():
        if isinstance(value, Mapping):
            yield from _secrets(value)
        elif _SECRET_NAME.search(name):
            resolved = resolve(value)
            if isinstance(resolved, str):
                yield resolved


class Redactor:
    """Replaces known credentials, and whatever looks like one, by `***`."""

    def __init__(self, secrets: tuple[str, ...]) -> None:
        self._secrets = secrets

    def __repr__(self) -> str:
        """Tells how many, never which."""
        return f"Redactor({len(self._secrets)} secrets)"

    def __call__(self, text: str) -> str:
        """The text without credentials."""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return _KEY_LIKE.sub("***", text)
