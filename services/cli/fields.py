"""`key=value` options: metadata of documents, and filters on it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from pipelines.core.settings import Settings
    from pipelines.core.types import Scalar


def parse_fields(pairs: Sequence[str], settings: "Settings", option: str) -> "dict[str, Scalar | tuple[Scalar, ...]]":
    """The fields; a key given several times has all the values.

    Values are text, except for keys that `index.metadata_fields` declares as numbers.

    Raises:
        BadParameter: a pair has no `=`, or a value is not of its declared type.
    """
    kinds = settings.index.metadata_fields
    fields: dict[str, Scalar | tuple[Scalar, ...]] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        key = key.strip()
        if not equals or not key:
            raise typer.BadParameter(f"{pair!r} is not of the form key=value.", param_hint=option)
        value = _typed(text, kinds.get(key, "keyword"), pair, option)
        if key in fields:
            before = fields[key]
            fields[key] = (*before, value) if isinstance(before, tuple) else (before, value)
        else:
            fields[key] = value
    return fields


def _typed(text: str, kind: str, pair: str, option: str) -> "Scalar":
    try:
        if kind == "integer":
            return int(text)
        return float(text) if kind == "float" else text
    except ValueError:
        raise typer.BadParameter(
            f"{pair!r}: index.metadata_fields declares the value as {kind}.", param_hint=option
        ) from None
