"""Conditions on payloads, in neutral form, and their translation to either of Qdrant's two Python packages."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pipelines.core.errors import InvalidRequestError
from pipelines.core.store import payload
from pipelines.core.types import Filter, Range, Scalar

_PLAIN_KEY = re.compile(r"[A-Za-z0-9_-]+")
_EXACT_FLOAT = 2**53


@dataclass(frozen=True, slots=True)
class Match:
    """The field holds one of the values. No values match nothing."""

    key: str
    values: tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Between:
    """The field is a number in the range."""

    key: str
    range: Range


@dataclass(frozen=True, slots=True)
class Ids:
    """The point has one of these ids."""

    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one of the conditions holds; there is at least one."""

    conditions: tuple["Condition", ...]


Condition = Match | Between | Ids | AnyOf


@dataclass(frozen=True, slots=True)
class Where:
    """All of `must` hold and none of `must_not`."""

    must: tuple[Condition, ...]
    must_not: tuple[Condition, ...] = ()

    def also(self, *conditions: Condition) -> "Where":
        """The same, with more conditions that must hold."""
        return Where((*self.must, *conditions), self.must_not)


@dataclass(frozen=True, slots=True)
class Dialect:
    """The constructors in which qdrant-edge-py and qdrant-client differ only by name."""

    filter: Callable[..., Any]
    field: Callable[..., Any]
    match_value: Callable[..., Any]
    match_any: Callable[..., Any]
    range: Callable[..., Any]
    has_id: Callable[[list[str]], Any]


def visible(filter: Filter, level: str) -> Where:
    """What a search with this filter may see of one level: published, of the tenant, of its labels, and as it says.

    Raises:
        InvalidRequestError: a metadata field has a name that cannot be addressed, or a value that cannot be compared.
    """
    conditions: list[Condition] = [Match(payload.SCOPE, (payload.scope(level, filter.tenant),))]
    if filter.labels is not None:
        conditions.append(Match(payload.LABELS, (payload.UNLABELLED, *filter.labels)))
    if filter.document_ids:
        conditions.append(Match(payload.DOCUMENT, filter.document_ids))
    for name, wanted in filter.metadata.items():
        conditions.append(_metadata(metadata_key(name), wanted))
    return Where(tuple(conditions))


def metadata_key(name: str) -> str:
    """The path of a metadata field inside a payload.

    Raises:
        InvalidRequestError: the name cannot be written as a path.
    """
    if _PLAIN_KEY.fullmatch(name):
        return f"{payload.METADATA}.{name}"
    if not name or '"' in name or "\\" in name:
        raise InvalidRequestError(f"metadata field {name!r} cannot be filtered: its name is empty or holds quotes")
    return f'{payload.METADATA}."{name}"'


def render(where: Where, dialect: Dialect) -> Any:
    """The filter in the words of one package."""
    return dialect.filter(
        must=[_render(each, dialect) for each in where.must],
        must_not=[_render(each, dialect) for each in where.must_not],
    )


def _metadata(key: str, wanted: Scalar | tuple[Scalar, ...] | Range) -> Condition:
    if isinstance(wanted, Range):
        return Between(key, wanted)
    values = wanted if isinstance(wanted, tuple) else (wanted,)
    for value in values:
        if not payload.is_comparable(value):
            raise InvalidRequestError(f"{value} is not finite or beyond 64 bits: it cannot be compared")
    stored = [payload.comparable(value) for value in values]
    words = tuple(value for value in stored if isinstance(value, str))
    numbers = tuple(_equal(key, value) for value in stored if not isinstance(value, str))
    if not numbers:
        return Match(key, words)
    either: tuple[Condition, ...] = (*numbers, Match(key, words)) if words else numbers
    return either[0] if len(either) == 1 else AnyOf(either)


def _equal(key: str, value: float) -> Condition:
    """Equality as Python has it, `3 == 3.0`: in Qdrant a range of one value, as long as a float can tell it apart."""
    if isinstance(value, int) and abs(value) > _EXACT_FLOAT:
        return Match(key, (value,))
    return Between(key, Range(gte=value, lte=value))


def _render(condition: Condition, dialect: Dialect) -> Any:
    match condition:
        case Match(key, (value,)):
            return dialect.field(key=key, match=dialect.match_value(value=value))
        case Match(key, values):
            return dialect.field(key=key, match=dialect.match_any(any=list(values)))
        case Between(key, bounds):
            return dialect.field(key=key, range=dialect.range(**bounds.model_dump()))
        case Ids(ids):
            return dialect.has_id(list(ids))
        case AnyOf(conditions):
            return dialect.filter(should=[_render(each, dialect) for each in conditions])
