import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from indexing.identity import text_name
from pipelines.core.blobs import FolderBlobs
from pipelines.core.settings import Settings, StateSettings
from pipelines.core.state import Database, Ledger, Retention, Submission, sqlite_url
from pipelines.core.types import Answer, AnswerStatus
from services.documents import sweep
from services.documents.sweep import Sweeper

TENANT = "default"
GO = threading.Event()


class Parts:
    """A sweeper with its parts at hand, and a clock that is moved by hand."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now = 0.0
        self.blobs = FolderBlobs(folder / "blobs")
        self.database = Database(sqlite_url(folder / "state.sqlite"))
        self.ledger = Ledger(self.database)
        self.sweeper = self.another()

    def another(self, **state: float) -> Sweeper:
        return Sweeper(
            Settings(state=StateSettings(**state)),
            ledger=self.ledger,
            retention=Retention(self.database),
            blobs=self.blobs,
            clock=lambda: self.now,
        )

    def put(self, content: bytes, *, old: bool = True) -> str:
        key = self.blobs.put([content]).key
        if old:
            with self.blobs.local(key) as path:
                os.utime(path, (0, 0))
        return key

    def text(self, name: str) -> str:
        with self.blobs.text_writer(name) as writer:
            writer.write("A text.")
        with self.blobs.local(writer.key) as path:
            os.utime(path, (0, 0))
        return writer.key

    def submit(self, number: int, blob_key: str) -> None:
        submission = Submission(
            document_id=f"doc-{number}",
            source=f"{number}.md",
            name=f"{number}.md",
            content_sha256="a" * 64,
            size_bytes=1,
            format="md",
            blob_key=blob_key,
            fingerprint=f"a-{number}",
        )
        self.ledger.accept(TENANT, [submission])


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    parts = Parts(tmp_path)
    yield parts
    parts.database.close()


def test_what_nothing_needs_is_removed_and_the_rest_stays(parts: Parts) -> None:
    stray, fresh, queued, done = parts.put(b"1"), parts.put(b"2", old=False), parts.put(b"3"), parts.put(b"4")
    parts.submit(1, done)
    (item,) = parts.ledger.leases.claim(1, "elsewhere:1:x", 3600)
    text = parts.text("kept")
    parts.ledger.leases.finish(item, passages=1, title="t", text_key=text)
    parts.submit(2, queued)
    partial = parts.folder / "blobs" / "partial" / "killed"
    partial.write_bytes(b"x")
    os.utime(partial, (0, 0))
    stray_text = parts.text("stray")
    parts.sweeper.sweep(GO)
    left = {key for key in (stray, fresh, queued, done, text, stray_text) if parts.blobs.exists(key)}
    assert left == {fresh, queued, done, text}
    assert not partial.exists()


def test_the_text_of_a_document_that_takes_hours_stays(parts: Parts) -> None:
    parts.submit(1, parts.put(b"1"))
    parts.ledger.leases.claim(1, "elsewhere:1:x", 3600)
    text = parts.text(text_name("doc-1", "a-1"))
    other = parts.text(text_name("doc-1", "b-1"))
    parts.sweeper.sweep(GO)
    assert (parts.blobs.exists(text), parts.blobs.exists(other)) == (True, False)


def test_one_process_sweeps_and_not_all_the_time(parts: Parts) -> None:
    parts.sweeper.sweep(GO)
    stray = parts.put(b"stray")
    parts.another().sweep(GO)
    parts.now += sweep.PART_S + 1
    parts.sweeper.sweep(GO)
    assert parts.blobs.exists(stray)  # the pass has ended; the next is due in an hour


def test_a_pass_goes_on_where_the_last_part_ended(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    strays = {key for number in range(40) if (key := parts.put(str(number).encode()))}
    keys = parts.blobs.keys
    seen: list[int | None] = []

    def slow(*, unused_for_s: float = 0.0, shard: int | None = None) -> Iterator[str]:
        seen.append(shard)
        parts.now += sweep.BUDGET_S / 100
        return keys(unused_for_s=unused_for_s, shard=shard)

    monkeypatch.setattr(parts.blobs, "keys", slow)
    monkeypatch.setattr(sweep, "PART_S", 0.0)
    parts.sweeper.sweep(GO)
    assert 50 < len(seen) < 150
    for _ in range(3):
        parts.sweeper.sweep(GO)
    assert seen == list(range(256))
    assert not any(parts.blobs.exists(key) for key in strays)


def test_a_stop_ends_a_part(parts: Parts) -> None:
    strays = [parts.put(str(number).encode()) for number in range(40)]
    stop = threading.Event()
    stop.set()
    parts.sweeper.sweep(stop)
    assert sum(parts.blobs.exists(key) for key in strays) == 40


def test_records_that_were_kept_long_enough_are_removed(parts: Parts) -> None:
    parts.ledger.receipts.record(TENANT, Answer(id="a", question="q", status=AnswerStatus.ANSWERED, text="t"))
    parts.another(keep_receipts_days=1e-9).sweep(GO)
    with parts.database.read() as session:
        from pipelines.core.state.tables import AnswerRow

        assert session.get(AnswerRow, "a") is None
