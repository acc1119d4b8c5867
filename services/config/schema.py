"""Looks at the settings classes: which keys there are, and what may stand in each."""

import difflib
import types
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from pipelines.core.settings import Settings

ConfigPath = tuple[str | int, ...]
"""Where a value stands: `("models", 0, "litellm_params", "model")`."""

ENV_PREFIX = "STRATA_"
_NAMES = {
    str: "text",
    int: "integer",
    float: "number",
    bool: "`true` or `false`",
    Path: "path",
    SecretStr: "secret text",
}
_BOUNDS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}


@dataclass(frozen=True, slots=True)
class Key:
    """One key of the settings and its field."""

    path: ConfigPath
    field: FieldInfo


def keys(model: type[BaseModel] = Settings, path: ConfigPath = ()) -> Iterator[Key]:
    """All keys, in the order of the file, sections before what is in them; the entries of lists are not entered."""
    for name, field in model.model_fields.items():
        yield Key((*path, name), field)
        if section := section_of(field.annotation):
            yield from keys(section, (*path, name))


def section_of(annotation: Any) -> type[BaseModel] | None:
    """The settings class that an annotation names, `None` for any other."""
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def annotation_at(path: ConfigPath) -> Any:
    """The annotation of what stands at a path, `None` where the settings know no such place."""
    annotation: Any = Settings
    for part in path:
        annotation = _inside(_without_none(annotation), part)
        if annotation is None:
            return None
    return _without_none(annotation)


def is_container(annotation: Any) -> bool:
    """Whether a value of this kind is written as JSON in the environment."""
    return section_of(annotation) is not None or get_origin(annotation) in (dict, list, tuple)


def is_secret(path: ConfigPath) -> bool:
    """Whether what stands at a path must not be shown."""
    return annotation_at(path) is SecretStr


def nearest(path: ConfigPath) -> str | None:
    """The right key that an unknown one most resembles: a neighbour, or one of the same name in another section."""
    *parents, wrong = path
    neighbours = section_of(annotation_at(tuple(parents)))
    siblings = list(neighbours.model_fields) if neighbours else []
    if close := difflib.get_close_matches(str(wrong).lower().replace("-", "_"), siblings, n=1):
        return dotted((*parents, close[0]))
    return next((dotted(key.path) for key in keys() if key.path[-1] == wrong), None)


def dotted(path: ConfigPath) -> str:
    """A path as people write it: `models[0].litellm_params.model`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def env_name(path: ConfigPath) -> str:
    """The environment variable of a key."""
    return ENV_PREFIX + "__".join(str(part).upper() for part in path)


def describe_type(field: FieldInfo) -> str:
    """What may stand in a field, in words."""
    text = _type_text(field.annotation)
    bounds = [
        f"{sign} {value:g}"
        for item in field.metadata
        for name, sign in _BOUNDS.items()
        if (value := getattr(item, name, None)) is not None
    ]
    patterns = [f"matching `{item.pattern}`" for item in field.metadata if getattr(item, "pattern", None)]
    empty = [", or empty"] if type(None) in get_args(field.annotation) else []
    return " ".join([text, ", ".join([*bounds, *patterns])]).rstrip() + "".join(empty)


def description(field: FieldInfo) -> str:
    """A field's description; a section's is its docstring."""
    if field.description:
        return field.description
    for annotation in (field.annotation, *get_args(field.annotation)):
        if section := section_of(annotation):
            return " ".join((section.__doc__ or "").split())
    return ""


def _inside(annotation: Any, part: str | int) -> Any:
    if section := section_of(annotation):
        field = section.model_fields.get(str(part))
        return field.annotation if field else None
    arguments = get_args(annotation)
    if get_origin(annotation) is dict:
        return arguments[1]
    return arguments[0] if get_origin(annotation) in (list, tuple) and isinstance(part, int) else None


def _without_none(annotation: Any) -> Any:
    if get_origin(annotation) is Annotated:
        return _without_none(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        rest = [argument for argument in get_args(annotation) if argument is not type(None)]
        return rest[0] if len(rest) == 1 else annotation
    return annotation


def _type_text(annotation: Any) -> str:
    plain = _without_none(annotation)
    origin, arguments = get_origin(plain), get_args(plain)
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in arguments)
    if origin is dict:
        return f"map of {_type_text(arguments[0])} to {_type_text(arguments[1])}"
    if origin in (list, tuple):
        return f"list of {_type_text(arguments[0])}"
    return "section" if section_of(plain) else _NAMES.get(plain, "any value")
