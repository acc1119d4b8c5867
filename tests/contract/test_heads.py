"""The register of heads: on SQLite and on PostgreSQL."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from pipelines.core.errors import ConflictError, NotFoundError
from pipelines.core.state import Database, HeadVersions, Ledger
from tests.support.clock import Clock


@pytest.fixture
def heads(database: Database, clock: Clock) -> HeadVersions:
    return HeadVersions(database, clock=clock)


def add(heads: HeadVersions, version: str, name: str = "evidence", sha256: str = "a" * 64) -> None:
    heads.add(name, version, sha256=sha256, blob_key=f"sha256/{version}", size_bytes=3, figures={"lower": 0.1})


def statuses(heads: HeadVersions, name: str = "evidence") -> dict[str, str]:
    return {each.version: str(each.status) for each in heads.versions(name)}


def live(heads: HeadVersions, name: str = "evidence") -> str | None:
    found = heads.live().get(name)
    return found and found.version


def test_a_candidate_is_entered_once(heads: HeadVersions) -> None:
    add(heads, "1")
    add(heads, "1")
    with pytest.raises(ConflictError):
        add(heads, "1", sha256="b" * 64)
    (found,) = heads.versions()
    assert (found.version, found.parent, found.figures, found.status) == ("1", None, {"lower": 0.1}, "candidate")
    assert heads.get("evidence", "1") == found
    with pytest.raises(NotFoundError):
        heads.get("support", "1")
    assert heads.live() == {}


def test_the_accepted_one_is_live_and_the_one_before_is_put_back(heads: HeadVersions, clock: Clock) -> None:
    for version in ("1", "2", "3", "4"):
        add(heads, version)
    for version in ("1", "2", "2", "3"):
        clock.move(1)
        heads.accept("evidence", version)
    heads.reject("evidence", "4")
    assert statuses(heads) == {"1": "retired", "2": "retired", "3": "accepted", "4": "rejected"}
    back = heads.roll_back("evidence")
    assert back is not None
    assert (back.version, live(heads)) == ("2", "2")
    clock.move(1)
    heads.accept("evidence", "3")  # once more
    assert [heads.roll_back("evidence") and live(heads) for _ in range(3)] == ["2", "1", None]
    with pytest.raises(NotFoundError):
        heads.roll_back("evidence")
    with pytest.raises(ConflictError):
        heads.reject("evidence", "1")


def test_heads_do_not_touch_each_other(heads: HeadVersions) -> None:
    add(heads, "1")
    add(heads, "1", name="support")
    heads.accept("evidence", "1")
    heads.accept("support", "1")
    heads.roll_back("support")
    assert (live(heads), live(heads, "support")) == ("1", None)


def test_at_most_one_is_live_whoever_accepts_at_the_same_time(heads: HeadVersions) -> None:
    for number in range(6):
        add(heads, str(number))
    together = threading.Barrier(6)

    def accept(number: int) -> None:
        together.wait()
        heads.accept("evidence", str(number))

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(accept, range(6)))
    assert sorted(statuses(heads).values()) == ["accepted", *["retired"] * 5]


def test_what_becomes_live_while_it_is_judged_is_not_rejected(heads: HeadVersions) -> None:
    together = threading.Barrier(2)

    def reject(version: str) -> None:
        together.wait()
        with suppress(ConflictError):
            heads.reject("evidence", version)

    with ThreadPoolExecutor(1) as pool:
        for number in range(20):
            add(heads, str(number))
            rejected = pool.submit(reject, str(number))
            together.wait()
            heads.accept("evidence", str(number))
            rejected.result()
            assert live(heads) == str(number)


def test_a_head_that_was_judged_beside_one_that_is_not_live_any_more_is_not_accepted_as_better(
    heads: HeadVersions, clock: Clock
) -> None:
    for version in ("1", "2"):
        add(heads, version)  # both trained from the one that is shipped
    heads.accept("evidence", "1", as_better=True)
    heads.accept("evidence", "1", as_better=True)
    with pytest.raises(ConflictError, match="not live any more"):
        heads.accept("evidence", "2", as_better=True)
    assert statuses(heads) == {"1": "accepted", "2": "candidate"}
    clock.move(1)
    heads.accept("evidence", "2")
    assert live(heads) == "2"


def test_the_blob_of_a_version_is_needed_whatever_became_of_it(heads: HeadVersions, database: Database) -> None:
    add(heads, "1")
    heads.reject("evidence", "1")
    assert Ledger(database).unreferenced(["sha256/1", "sha256/2"]) == ["sha256/2"]
