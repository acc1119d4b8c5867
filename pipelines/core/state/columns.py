"""Types of columns that both databases lack, and the conditions under which readers see a row."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, DateTime, Dialect, Text, TypeDecorator, and_, func, or_, true, type_coerce

from pipelines.core.access import Labels


class UtcDateTime(TypeDecorator[datetime]):
    """An aware time in UTC, in databases with and without time zones. Refuses naive times."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Stores UTC."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a naive time has no place in the ledger")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Reads UTC; SQLite gives naive times back."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class LabelsText(TypeDecorator[Labels]):
    """Access labels as `|a|b|`, so that one can be looked for inside the database; see `visible`."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Labels | None, dialect: Dialect) -> str | None:
        """Stores the labels."""
        return None if value is None else "|".join(("", *value, "")) if value else ""

    def process_result_value(self, value: str | None, dialect: Dialect) -> Labels | None:
        """Reads the labels."""
        return None if value is None else tuple(value.strip("|").split("|")) if value else ()


def visible(column: Any, labels: Labels | None) -> ColumnElement[bool]:
    """The condition under which a row is visible to a reader with these labels; see `pipelines.core.access`.

    Args:
        column: A `LabelsText` column.
    """
    if labels is None:
        return true()
    text = type_coerce(column, Text)
    return or_(text == "", *(text.contains(f"|{label}|", autoescape=True) for label in labels))


def covered(column: Any, labels: Labels | None) -> ColumnElement[bool]:
    """The condition under which all that was made with a row's labels is visible; see `Principal.covers`.

    Args:
        column: A `LabelsText` column that is NULL for whoever holds every label.
    """
    if labels is None:
        return true()
    rest: ColumnElement[str] = type_coerce(column, Text)
    for label in labels:
        rest = func.replace(rest, f"|{label}|", "|")
    return and_(column.is_not(None), rest.in_(("", "|")))
