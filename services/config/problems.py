"""Turns what pydantic found into sentences that name the place, the key, what was given and what is allowed."""

from collections.abc import Callable
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from services.config.schema import ConfigPath, dotted, is_secret, nearest


def explain(error: ValidationError, where: Callable[[ConfigPath], str]) -> list[str]:
    """One sentence a problem, in the order of the settings. Secrets are not repeated."""
    return [_sentence(detail, where) for detail in error.errors(include_url=False, include_context=False)]


def _sentence(detail: ErrorDetails, where: Callable[[ConfigPath], str]) -> str:
    path: ConfigPath = detail["loc"]
    message = detail["msg"].removeprefix("Value error, ")
    if not path:
        return f"{where(path)}: {message}."
    if detail["type"] == "extra_forbidden":
        near = nearest(path)
        return f"{where(path)}: unknown key `{dotted(path)}`" + (f"; did you mean `{near}`?" if near else ".")
    if detail["type"] == "missing":
        return f"{where(path)}: `{dotted(path)}` is missing."
    if detail["type"] in ("model_type", "dict_type"):
        return (
            f"{where(path)}: `{dotted(path)}` is {_given(detail['input'], path)}, but must be a map of keys to values."
        )
    reason = message[:1].lower() + message[1:]
    return f"{where(path)}: `{dotted(path)}` is {_given(detail['input'], path)}, but {reason}."


def _given(value: Any, path: ConfigPath) -> str:
    if isinstance(value, dict):
        return "a map"
    if isinstance(value, list | tuple):
        return "a list"
    if value is None:
        return "empty"
    if is_secret(path) or "litellm_params" in path:
        return "set to something else"
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}…"
