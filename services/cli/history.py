"""Earlier turns of a conversation, from a file."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from pipelines.core.types import Turn

OPTION = "--history"
MAX_CHARS = 16 * 1024 * 1024


def read_history(path: Path) -> "tuple[Turn, ...]":
    """The turns in the file, oldest first: a JSON list, or one JSON object a line, each `{"role": …, "text": …}`.

    Raises:
        BadParameter: the file cannot be read or holds something else; the message names the turn.
    """
    from pydantic import ValidationError

    from pipelines.core.types import Turn

    turns = []
    for number, value in enumerate(_values(_text(path)), 1):
        try:
            turns.append(Turn.model_validate(value))
        except ValidationError:
            reason = f'{path}: turn {number} is not {{"role": "user" or "assistant", "text": "…"}}.'
            raise typer.BadParameter(reason, param_hint=OPTION) from None
    return tuple(turns)


def _text(path: Path) -> str:
    try:
        with path.open(encoding="utf-8-sig") as stream:
            text = stream.read(MAX_CHARS + 1)
    except OSError as error:
        raise typer.BadParameter(f"{path} cannot be read: {error.strerror}.", param_hint=OPTION) from None
    except UnicodeDecodeError:
        raise typer.BadParameter(f"{path} is no UTF-8 text.", param_hint=OPTION) from None
    if len(text) > MAX_CHARS:
        raise typer.BadParameter(f"{path} is too large for a conversation.", param_hint=OPTION)
    return text


def _values(text: str) -> list[Any]:
    """The list of a JSON document, or the values of its lines; blank lines are left out."""
    if text.lstrip().startswith("["):
        return list(_parsed(text, "the list"))
    return [_parsed(line, f"line {number}") for number, line in enumerate(text.split("\n"), 1) if line.strip()]


def _parsed(text: str, what: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise typer.BadParameter(f"{what} is not JSON ({error}).", param_hint=OPTION) from None
