"""Who asks, and what they may see. One rule, applied wherever something goes out.

A document may carry access labels. A reader sees the documents of their own tenant that carry no label, and those that
carry at least one of the reader's labels. A reader whose `labels` are `None` sees all of the tenant.
"""

import re
from collections.abc import Iterable
from typing import Literal, TypeVar

from pipelines.core.errors import ForbiddenError, InvalidRequestError
from pipelines.core.types import DEFAULT_TENANT, Filter, Value

Scope = Literal["ask", "ingest", "admin"]
SCOPES: tuple[Scope, ...] = ("ask", "ingest", "admin")

Labels = tuple[str, ...]
"""Sorted, without repetition; see `labels`."""

MAX_LABELS = 50
LABEL = re.compile(r"[a-z0-9][a-z0-9._:-]{0,63}")
TENANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")

F = TypeVar("F", bound=Filter)


class Principal(Value):
    """Whoever makes a request: an API key, or the one user of an embedded Strata.

    Attributes:
        key_id: Of the API key; `None` where none is needed.
        labels: Access labels that the reader holds; `None` holds every one.
        rate_per_minute: Requests a minute; `None` means the configured default.
    """

    key_id: str | None = None
    tenant: str = DEFAULT_TENANT
    scopes: tuple[Scope, ...] = SCOPES
    labels: Labels | None = None
    rate_per_minute: int | None = None

    def require(self, scope: Scope) -> None:
        """Refuses what the key may not do; `admin` may do everything within its tenant.

        Raises:
            ForbiddenError: the scope is missing.
        """
        if scope not in self.scopes and "admin" not in self.scopes:
            raise ForbiddenError(f"This API key does not have the scope `{scope}`.")

    def sees(self, document: Labels) -> bool:
        """Whether a document with these labels is visible."""
        return self.labels is None or not document or not set(document).isdisjoint(self.labels)

    def covers(self, labels: Labels | None) -> bool:
        """Whether everything that a reader with these labels saw is visible to this one as well."""
        return covers(self.labels, labels)

    def owns(self, document: Labels) -> bool:
        """Whether it may submit, replace and delete a document with these labels: all of them are its own."""
        return self.labels is None or (bool(document) and set(document) <= set(self.labels))

    def shown(self, document: Labels) -> Labels:
        """A visible document's labels as this reader may know them: the names of others' labels are theirs."""
        return document if self.labels is None else tuple(label for label in document if label in self.labels)

    def may_label(self, document: Labels) -> None:
        """Refuses labels on a document that whoever submits it could not read back.

        Raises:
            ForbiddenError: the key does not hold them, or holds labels and would make the document visible to all.
        """
        if not self.owns(document):
            raise ForbiddenError(
                "This API key is bound to access labels: give each document at least one of them, and no other."
            )

    def narrow(self, filter: F) -> F:
        """The filter, bound to the tenant and the labels."""
        return filter.model_copy(update={"tenant": self.tenant, "labels": self.labels})


OWNER = Principal()
"""The one user of an embedded Strata: everything, of the default tenant."""


def covers(reader: Labels | None, others: Labels | None) -> bool:
    """Whether a reader with these labels sees everything that one with the others sees."""
    return reader is None or (others is not None and set(others) <= set(reader))


def check_tenant(name: str) -> str:
    """A tenant's name as it is.

    Raises:
        InvalidRequestError: it is none.
    """
    if not TENANT.fullmatch(name):
        raise InvalidRequestError(
            f"{name[:80]!r} is no tenant: it has up to 128 letters, digits, `.`, `_`, `:` and `-`, and begins with a "
            "letter or digit."
        )
    return name


def labels(names: Iterable[str]) -> Labels:
    """Access labels, checked and in their one order.

    Raises:
        InvalidRequestError: one is no label, or there are too many.
    """
    found = tuple(sorted(set(names)))
    if len(found) > MAX_LABELS:
        raise InvalidRequestError(f"There are more than {MAX_LABELS} access labels.")
    for name in found:
        if not LABEL.fullmatch(name):
            raise InvalidRequestError(
                f"{name[:80]!r} is no access label: it has up to 64 of a-z, 0-9, `.`, `_`, `:` and `-`, and "
                "begins with a letter or digit."
            )
    return found
