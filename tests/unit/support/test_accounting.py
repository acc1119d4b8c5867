"""The account finds what it is there to find."""

from typing import Any

import pytest

from tests.support.accounting import Account, tally

ROWS: list[dict[str, Any]] = [
    {"id": "a", "status": "indexed", "passages": 2, "error_code": None},
    {"id": "b", "status": "failed", "passages": 0, "error_code": "document_empty"},
]


def passage(start: int, *, document: str = "a", version: str = "1", scope: str | None = "passage:t") -> dict[str, Any]:
    payload = {"document_id": document, "version": version, "start": start}
    return payload if scope is None else payload | {"scope": scope}


WHOLE = [passage(0), passage(9), passage(0, document="of another run")]


def test_what_holds() -> None:
    found = tally(2, ROWS, WHOLE, 0)
    assert found == Account(2, 1, {"document_empty": 1}, 0, 2, 0, 0, 0, 0)
    assert found.holds


@pytest.mark.parametrize(
    ("found", "name"),
    [
        (tally(3, ROWS, WHOLE, 0), "lost"),
        (tally(2, [ROWS[0], ROWS[1] | {"error_code": None}], WHOLE, 0), "lost"),
        (tally(2, [ROWS[0], ROWS[1] | {"status": "running"}], WHOLE, 0), "lost"),
        (tally(2, ROWS, [*WHOLE, passage(9)], 0), "duplicated"),
        (tally(2, ROWS, [*WHOLE, passage(5, version="2")], 0), "duplicated"),
        (tally(2, ROWS, [passage(0)], 0), "missing"),
        (tally(2, ROWS, [passage(0), passage(9, scope=None)], 0), "missing"),
        (tally(2, ROWS, WHOLE, 1), "embedded_again"),
    ],
)
def test_what_does_not(found: Account, name: str) -> None:
    assert not found.holds
    assert {each for each in ("lost", "duplicated", "missing", "embedded_again") if getattr(found, each)} == {name}
