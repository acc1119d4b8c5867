"""Folders and buckets as sources: what is new, changed and gone, and what must not be taken for gone."""

import io
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest

from pipelines.core.errors import BlobsUnavailableError
from pipelines.core.remote import RemoteFiles
from pipelines.core.state import DocumentStatus, ItemStatus, SourceStatus
from services.documents import listing as listing_module
from services.documents import sync as sync_module
from services.documents.intake import NewDocument
from services.documents.listing import BucketListing, FolderListing, Listed
from tests.support.s3 import BUCKET, S3Server, s3_server
from tests.support.syncing import TENANT, Syncing, figures

pytestmark = pytest.mark.network


class Place(Protocol):
    """Where files lie."""

    url: str

    def write(self, path: str, content: bytes) -> None: ...

    def remove(self, path: str) -> None: ...


class Folder:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.url = f"{root.as_uri()}/"

    def write(self, path: str, content: bytes) -> None:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_bytes(content)

    def remove(self, path: str) -> None:
        (self.root / path).unlink()


class Bucket:
    def __init__(self, s3: S3Server, prefix: str) -> None:
        self._client: Any = s3.client()
        self._prefix = prefix
        self.url = f"s3://{BUCKET}/{prefix}/"

    def write(self, path: str, content: bytes) -> None:
        self._client.put_object(Bucket=BUCKET, Key=f"{self._prefix}/{path}", Body=content)

    def remove(self, path: str) -> None:
        self._client.delete_object(Bucket=BUCKET, Key=f"{self._prefix}/{path}")


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with s3_server() as server:
        yield server


@pytest.fixture
def syncing(tmp_path: Path, s3: S3Server) -> Iterator[Syncing]:
    made = Syncing(tmp_path, options={"s3": s3.options()})
    yield made
    made.close()


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    (tmp_path / "docs").mkdir()
    return Folder(tmp_path / "docs")


@pytest.fixture(params=["file", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path, s3: S3Server, folder: Folder) -> Place:
    return folder if request.param == "file" else Bucket(s3, tmp_path.name)


def zipped(**files: str) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name, text in files.items():
            archive.writestr(f"{name}.md", text)
    return target.getvalue()


def test_new_changed_and_deleted_files(syncing: Syncing, place: Place) -> None:
    for path in ("a.md", "b b.md", "deep/er/c.txt", ".hidden.md", ".git/d.md", "picture.png"):
        place.write(path, b"first")
    first = syncing.sync(place.url, topic="flying")
    assert (first.status, figures(first)) == (SourceStatus.SYNCED, (3, 3, 0, 0, 0))
    assert syncing.names() == {"a.md", "b b.md", "c.txt"}
    documents = syncing.documents()
    assert documents[f"{place.url}deep/er/c.txt"].metadata == {"topic": "flying"}

    again = syncing.sync(place.url, topic="flying")
    assert figures(again) == (3, 0, 0, 0, 3)
    assert again.job_id is not None
    assert syncing.ledger.progress.job(again.job_id, TENANT).total == 0
    assert syncing.ledger.progress.job(again.job_id, TENANT).finished

    place.write("a.md", b"another")
    place.write("new.md", b"new")
    place.remove("deep/er/c.txt")
    third = syncing.sync(place.url, topic="flying")
    assert figures(third) == (3, 1, 1, 1, 1)
    assert syncing.names(DocumentStatus.DELETING) == {"c.txt"}
    assert third.job_id is not None
    assert {item.name for item in syncing.ledger.progress.items(third.job_id, TENANT)} == {"a.md", "new.md"}
    assert syncing.nudged == [3, 2, 1]


def test_other_metadata_reads_everything_again(syncing: Syncing, folder: Folder) -> None:
    folder.write("a.md", b"text")
    syncing.sync(folder.url)
    assert figures(syncing.sync(folder.url, topic="new")) == (1, 0, 1, 0, 0)
    assert figures(syncing.sync(folder.url, topic="new")) == (1, 0, 0, 0, 1)


def test_documents_of_files_that_are_gone_may_be_kept(syncing: Syncing, folder: Folder) -> None:
    folder.write("a.md", b"text")
    folder.write("b.md", b"text")
    syncing.sync(folder.url)
    folder.remove("a.md")
    assert figures(syncing.sync(folder.url, keep_deleted=True)) == (1, 0, 0, 0, 1)
    assert syncing.names() == {"a.md", "b.md"}
    assert figures(syncing.sync(folder.url)) == (1, 0, 0, 1, 1)
    assert syncing.names(DocumentStatus.DELETING) == {"a.md"}


def test_archives_in_a_source_follow_it(syncing: Syncing, place: Place) -> None:
    place.write("all.zip", zipped(a="A", b="B"))
    place.write("c.md", b"C")
    assert figures(syncing.sync(place.url)) == (2, 2, 0, 0, 0)
    assert set(syncing.documents()) == {f"{place.url}all.zip!/a.md", f"{place.url}all.zip!/b.md", f"{place.url}c.md"}
    assert figures(syncing.sync(place.url)) == (2, 0, 0, 0, 2)
    place.write("all.zip", zipped(a="A", d="D"))
    assert figures(syncing.sync(place.url)) == (2, 0, 1, 0, 1)
    assert syncing.names(DocumentStatus.DELETING) == {"b.md"}
    place.remove("all.zip")
    assert figures(syncing.sync(place.url)) == (1, 0, 0, 1, 1)
    assert syncing.names(DocumentStatus.DELETING) == {"a.md", "b.md", "d.md"}


def test_a_damaged_archive_fails_until_it_is_mended(syncing: Syncing, folder: Folder) -> None:
    folder.write("all.zip", b"no archive")
    syncing.sync(folder.url)
    assert set(syncing.documents()) == {f"{folder.url}all.zip"}
    folder.write("all.zip", zipped(a="A"))
    syncing.sync(folder.url)
    assert syncing.names() == {"a.md"}
    assert syncing.names(DocumentStatus.DELETING) == {"all.zip"}


def test_one_unreadable_file_does_not_stop_the_others(
    syncing: Syncing, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.md", "closed.md", "gone.md"):
        folder.write(name, b"text")
    monkeypatch.setattr(os, "open", refusing("closed.md", PermissionError))
    vanishing(monkeypatch, folder.root / "gone.md")
    assert figures(syncing.sync(folder.url)) == (3, 2, 0, 0, 1)
    assert syncing.names() == {"a.md", "closed.md"}
    assert syncing.documents()[f"{folder.url}closed.md"].blob_key == ""
    monkeypatch.undo()
    assert figures(syncing.sync(folder.url)) == (2, 0, 1, 0, 1)
    assert syncing.documents()[f"{folder.url}closed.md"].pending_version is not None


def refusing(name: str, error: type[OSError]) -> Any:
    original = os.open

    def refuse(path: Any, *args: Any, **kwargs: Any) -> int:
        if str(path).endswith(name):
            raise error(13, "no")
        return original(path, *args, **kwargs)

    return refuse


def vanishing(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    """Removes a file between its listing and its reading."""
    original = FolderListing.open

    def vanish(self: FolderListing, file: Listed) -> Any:
        if file.place == str(path):
            path.unlink()
        return original(self, file)

    monkeypatch.setattr(FolderListing, "open", vanish)


def test_a_file_that_changes_while_it_is_read_is_read_again(
    syncing: Syncing, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.write("a.md", b"text 0")
    reads = []
    original = FolderListing.mark

    def mark(self: FolderListing, file: Listed) -> str | None:
        if len(reads) < 2:
            reads.append(None)
            folder.write("a.md", f"text {len(reads)}".encode())
        return original(self, file)

    monkeypatch.setattr(FolderListing, "mark", mark)
    syncing.sync(folder.url)
    (document,) = syncing.documents().values()
    with syncing.blobs.local(document.blob_key) as path:
        assert path.read_bytes() == b"text 2"
    assert figures(syncing.sync(folder.url)) == (1, 0, 0, 0, 1)


def test_a_file_that_changes_all_the_time_is_taken_and_read_again_next_time(
    syncing: Syncing, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.write("a.md", b"0")
    number = iter(range(1, 100))
    original = FolderListing.mark

    def mark(self: FolderListing, file: Listed) -> str | None:
        folder.write("a.md", str(next(number)).encode())
        return original(self, file)

    monkeypatch.setattr(FolderListing, "mark", mark)
    assert figures(syncing.sync(folder.url)) == (1, 1, 0, 0, 0)
    assert next(number) == 4
    monkeypatch.undo()
    assert figures(syncing.sync(folder.url)) == (1, 0, 1, 0, 0)
    assert figures(syncing.sync(folder.url)) == (1, 0, 0, 0, 1)


# --- What must not be taken for gone -------------------------------------------------------------------------------


def test_a_listing_that_breaks_off_deletes_nothing_and_is_tried_again(
    syncing: Syncing, s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = Bucket(s3, tmp_path.name)
    for number in range(5):
        bucket.write(f"{number}.md", b"text")
    syncing.sync(bucket.url)
    bucket.remove("0.md")
    original = RemoteFiles.pages

    def broken(self: RemoteFiles, name: str, prefix: str) -> Iterator[list[dict[str, Any]]]:
        for page in original(self, name, prefix):
            yield page[:2]
            raise BlobsUnavailableError("cut")

    monkeypatch.setattr(RemoteFiles, "pages", broken)
    found = syncing.sync(bucket.url)
    assert (found.status, found.error_code) == (SourceStatus.QUEUED, "blobs_unavailable")
    assert found.next_try_at is not None
    assert syncing.names(DocumentStatus.DELETING) == set()
    monkeypatch.undo()
    syncing.syncs.one(syncing.stop, found.id)
    found = syncing.sources.get(found.id, TENANT)
    assert (found.status, found.error_code, figures(found)) == (SourceStatus.SYNCED, None, (4, 0, 0, 1, 4))


def test_a_folder_that_cannot_be_entered_deletes_nothing(
    syncing: Syncing, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.write("a.md", b"text")
    folder.write("closed/b.md", b"text")
    syncing.sync(folder.url)
    folder.remove("a.md")
    original = os.scandir

    def closed(path: Any) -> Any:
        if str(path).endswith("closed"):
            raise PermissionError
        return original(path)

    monkeypatch.setattr(listing_module.os, "scandir", closed)
    found = syncing.sync(folder.url)
    assert (found.status, found.error_code) == (SourceStatus.FAILED, "source_incomplete")
    assert syncing.names() == {"a.md", "b.md"}


def test_a_folder_that_is_suddenly_empty_or_gone_deletes_nothing(syncing: Syncing, folder: Folder) -> None:
    folder.write("a.md", b"text")
    syncing.sync(folder.url)
    folder.remove("a.md")
    empty = syncing.sync(folder.url)
    assert empty.status is SourceStatus.FAILED
    assert "not mounted" in str(empty.error_detail)
    folder.root.rmdir()
    gone = syncing.sync(folder.url)
    assert (gone.status, gone.error_code) == (SourceStatus.FAILED, "request_invalid")
    assert syncing.names() == {"a.md"}


def test_a_bucket_that_is_not_there_is_told(syncing: Syncing) -> None:
    found = syncing.sync("s3://no-such-bucket/x/")
    assert found.status is SourceStatus.FAILED
    assert "no such bucket" in str(found.error_detail) or "There is no bucket" in str(found.error_detail)


# --- Ends ----------------------------------------------------------------------------------------------------------


def test_a_sync_that_is_killed_half_way_goes_on_and_loses_nothing(tmp_path: Path, folder: Folder) -> None:
    for number in range(900):
        folder.write(f"{number % 7}/{number}.md", str(number).encode())
    syncing = Syncing(tmp_path)
    source = syncing.sources.add(TENANT, folder.url, metadata={})
    script = f"""
import sys
from pathlib import Path
from tests.support.syncing import Syncing
syncing = Syncing(Path({str(tmp_path)!r}))
syncing.syncs.nudge = lambda items: print(items, flush=True)
syncing.syncs.turn(syncing.stop)
"""
    child = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    for _ in range(2):
        assert child.stdout.readline() == "200\n"
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    left = syncing.sources.get(source.id, TENANT)
    assert left.status is SourceStatus.RUNNING
    assert 400 <= left.added < 900
    syncing.syncs.turn(syncing.stop)
    found = syncing.sources.get(source.id, TENANT)
    assert (found.status, found.job_id, found.attempts) == (SourceStatus.SYNCED, left.job_id, 2)
    assert figures(found) == (900, 900, 0, 0, 0)
    assert found.job_id is not None
    job = syncing.ledger.progress.job(found.job_id, TENANT)
    assert job.counts[ItemStatus.QUEUED] == job.total == 900  # nothing lost, and nothing twice
    assert len(syncing.documents()) == 900
    syncing.close()


def test_a_sync_that_is_stopped_is_given_back(
    syncing: Syncing, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync_module, "BATCH", 2)
    for number in range(9):
        folder.write(f"{number}.md", b"text")
    syncing.syncs.nudge = lambda items: syncing.stop.set()
    found = syncing.sync(folder.url)
    assert (found.status, found.attempts, found.added) == (SourceStatus.QUEUED, 0, 2)
    syncing.stop.clear()
    syncing.syncs.nudge = lambda items: None
    assert figures(syncing.sync(folder.url)) == (9, 9, 0, 0, 0)


def test_a_full_queue_makes_a_sync_wait(tmp_path: Path, folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sync_module, "BATCH", 2)
    syncing = Syncing(tmp_path, max_queued=3)
    for number in range(9):
        folder.write(f"{number}.md", b"text")
    found = syncing.sync(folder.url)
    assert (found.status, found.added, found.attempts) == (SourceStatus.QUEUED, 4, 0)
    assert found.next_try_at is not None
    syncing.close()


def test_a_cancelled_job_ends_its_sync(syncing: Syncing, folder: Folder) -> None:
    folder.write("a.md", b"text")
    source = syncing.sources.add(TENANT, folder.url, metadata={})
    assert source.job_id is not None
    assert not syncing.ledger.progress.job(source.job_id, TENANT).finished
    syncing.ledger.cancel(source.job_id, TENANT)
    syncing.syncs.turn(syncing.stop)
    found = syncing.sources.get(source.id, TENANT)
    assert (found.status, found.error_detail) == (SourceStatus.FAILED, "The job of this sync was cancelled.")
    assert syncing.documents() == {}


def test_a_source_is_deleted_with_or_without_its_documents(syncing: Syncing, folder: Folder) -> None:
    folder.write("a.md", b"text")
    folder.write("sub/b.md", b"text")
    whole = syncing.sync(folder.url)
    part = syncing.sync(f"{folder.url}sub/")
    syncing.sources.remove(whole.id, TENANT, documents=True)
    assert syncing.sources.get(whole.id, TENANT).status is SourceStatus.DELETING
    syncing.syncs.turn(syncing.stop)
    assert [source.id for source in syncing.sources.list(TENANT)] == [part.id]
    assert syncing.names(DocumentStatus.DELETING) == {"a.md"}  # the other source brings b.md as well
    syncing.sources.remove(part.id, TENANT, documents=False)
    assert syncing.sources.list(TENANT) == []
    assert syncing.names() == {"b.md"}


# --- Ways out ------------------------------------------------------------------------------------------------------


def test_a_changed_file_whose_document_now_has_other_readers_deletes_nothing(syncing: Syncing, folder: Folder) -> None:
    def sync() -> SourceStatus:
        source = syncing.sources.add(TENANT, folder.url, metadata={}, document_labels=("team",), labels=("team",))
        syncing.syncs.turn(syncing.stop)
        return syncing.sources.get(source.id, TENANT).status

    folder.write("a.md", b"first")
    assert sync() is SourceStatus.SYNCED
    (source,) = syncing.documents()
    theirs = NewDocument(io.BytesIO(b"theirs"), "a.md", source, labels=("staff",))
    syncing.ledger.accept(TENANT, list(syncing.syncs.intake.submissions(TENANT, [theirs], strict=True)))
    folder.write("a.md", b"second")
    assert sync() is SourceStatus.SYNCED
    (document,) = syncing.documents().values()
    assert (document.status, document.labels) == (DocumentStatus.QUEUED, ("staff",))


def test_links_lead_nowhere_else(syncing: Syncing, folder: Folder, tmp_path: Path) -> None:
    (tmp_path / "secret.md").write_text("secret")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "secret.md").write_text("secret")
    folder.write("a.md", b"text")
    (folder.root / "inside.md").symlink_to(folder.root / "a.md")
    (folder.root / "outside.md").symlink_to(tmp_path / "secret.md")
    (folder.root / "folder").symlink_to(tmp_path / "other")
    (folder.root / "nowhere.md").symlink_to("missing")
    os.mkfifo(folder.root / "pipe.md")
    syncing.sync(folder.url)
    assert syncing.names() == {"a.md", "inside.md"}


def test_a_folder_that_becomes_a_link_after_its_listing_is_not_read(
    syncing: Syncing, folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "a.md").write_text("secret")
    folder.write("sub/a.md", b"text")
    original = FolderListing.open

    def swapped(self: FolderListing, file: Listed) -> Any:
        if not (folder.root / "sub").is_symlink():
            (folder.root / "sub").rename(folder.root / ".sub")
            (folder.root / "sub").symlink_to(tmp_path / "other")
        return original(self, file)

    monkeypatch.setattr(FolderListing, "open", swapped)
    syncing.sync(folder.url)
    (document,) = syncing.documents().values()
    assert document.blob_key == ""
    assert list(syncing.blobs.keys()) == []


def test_a_source_that_became_a_link_out_of_what_is_allowed_is_not_read(tmp_path: Path, folder: Folder) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "secret.md").write_text("secret")
    (folder.root / "team").symlink_to(tmp_path / "other")
    syncing = Syncing(tmp_path, sources=(folder.url,))
    found = syncing.sync(f"{folder.url}team/")
    assert (found.status, found.error_code) == (SourceStatus.FAILED, "forbidden")
    assert syncing.documents() == {}
    syncing.close()


def test_a_bucket_is_listed_page_by_page(s3: S3Server, tmp_path: Path) -> None:
    bucket = Bucket(s3, tmp_path.name)
    for number in range(1005):
        bucket.write(f"{number}.md", b"")
    files = RemoteFiles(bucket.url, s3.options(), timeout_s=10, setting="test")
    location = listing_module.Location("s3", BUCKET, (tmp_path.name,))
    assert len(list(files.pages(BUCKET, location.prefix))) == 2
    before = time.process_time()
    assert len({file.url for file in BucketListing(files, location).files()}) == 1005
    assert time.process_time() - before < 10
