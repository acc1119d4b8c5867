"""One suite for every blob store: a folder, and S3 over HTTP."""

import io
import os
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from pipelines.core import remote
from pipelines.core.blobs import BlobStore, FolderBlobs, ObjectBlobs, make_blobs, objects
from pipelines.core.blobs.text import INDEX_EVERY
from pipelines.core.errors import (
    BlobsUnavailableError,
    ConfigurationError,
    InvalidRequestError,
    MalformedDocumentError,
    NotFoundError,
    RequestTooLargeError,
)
from pipelines.core.settings import BlobSettings
from tests.support.s3 import BUCKET, Line, S3Server, s3_server

pytestmark = pytest.mark.network

MISSING = "sha256/" + "0" * 64


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with s3_server() as server:
        yield server


def object_blobs(
    s3: S3Server, prefix: str, *, port: int | None = None, timeout_s: float = 10.0, **options: str
) -> ObjectBlobs:
    made = make_blobs(
        BlobSettings(url=f"s3://{BUCKET}/{prefix}", options=s3.options(port=port, **options), timeout_s=timeout_s),
        Path("unused"),
    )
    assert isinstance(made, ObjectBlobs)
    return made


@pytest.fixture
def spooled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files lie."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


@pytest.fixture(params=["folder", "s3"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path, spooled: Path) -> Iterator[BlobStore]:
    if request.param == "folder":
        yield FolderBlobs(tmp_path / "blobs")
        left = tmp_path / "blobs" / "partial"
    else:
        yield object_blobs(request.getfixturevalue("s3"), tmp_path.name)
        left = spooled
    assert list(left.iterdir()) == []


def files(blobs: BlobStore) -> list[str]:
    return sorted(blobs.keys())


def content(blobs: BlobStore, key: str) -> bytes:
    with blobs.local(key) as path:
        return path.read_bytes()


def age(blobs: BlobStore, key: str, hours: float = 3.0) -> None:
    """As if it had been put so long ago."""
    if isinstance(blobs, FolderBlobs):
        with blobs.local(key) as path:
            os.utime(path, (1, 1))
    else:
        from moto.s3.models import s3_backends

        stored = s3_backends["123456789012"]["aws"].buckets[BUCKET].keys
        (name,) = [name for name in stored if name.endswith(key.rpartition("/")[2]) and "deleting" not in name]
        stored[name].last_modified = datetime.now(UTC).replace(tzinfo=None) - timedelta(hours=hours)


def write(blobs: BlobStore, name: str, *pieces: str) -> str:
    with blobs.text_writer(name) as writer:
        for piece in pieces:
            writer.write(piece)
    return writer.key


def test_a_file_is_found_by_its_content(blobs: BlobStore) -> None:
    blob = blobs.put(io.BytesIO(b"hello"))
    assert blobs.put([b"he", b"", b"llo"]) == blob
    assert blob.key == f"sha256/{blob.sha256}"
    assert blob.size_bytes == 5
    assert content(blobs, blob.key) == b"hello"
    assert files(blobs) == [blob.key]


def test_an_empty_file_is_a_file(blobs: BlobStore) -> None:
    blob = blobs.put(io.BytesIO())
    assert blob.size_bytes == 0
    assert blobs.exists(blob.key)


def test_a_file_that_is_too_large_leaves_nothing(blobs: BlobStore) -> None:
    with pytest.raises(RequestTooLargeError):
        blobs.put([b"1234", b"5678"], max_bytes=7)
    assert files(blobs) == []


def test_a_stream_that_breaks_leaves_nothing(blobs: BlobStore) -> None:
    def broken() -> Iterator[bytes]:
        yield b"1234"
        raise ConnectionError

    with pytest.raises(ConnectionError):
        blobs.put(broken())
    assert files(blobs) == []


@pytest.mark.parametrize(
    "key", ["", "../x", "sha256/..", "text/../../etc/passwd", "text/a/b", "text/.x", "text/a\n", "b/a"]
)
def test_a_key_never_leaves_the_folder(blobs: BlobStore, key: str) -> None:
    for call in (partial(content, blobs), blobs.exists, blobs.delete, blobs.text_length):
        with pytest.raises(InvalidRequestError):
            call(key)


def test_missing_files_are_told(blobs: BlobStore) -> None:
    assert not blobs.exists(MISSING)
    assert not blobs.delete(MISSING)
    for call in (partial(content, blobs), blobs.text_length, blobs.read_text):
        with pytest.raises(NotFoundError):
            call(MISSING)


def test_a_file_just_put_is_not_collected(blobs: BlobStore) -> None:
    blob = blobs.put(io.BytesIO(b"x"))
    age(blobs, blob.key)
    assert list(blobs.keys(unused_for_s=60)) == [blob.key]
    blobs.put(io.BytesIO(b"x"))
    assert list(blobs.keys(unused_for_s=60)) == []
    assert not blobs.delete(blob.key, unused_for_s=60)
    age(blobs, blob.key)
    assert blobs.delete(blob.key, unused_for_s=60)
    assert not blobs.exists(blob.key)
    assert files(blobs) == []


def test_threads_may_put_and_delete_the_same_content(blobs: BlobStore) -> None:
    barrier = threading.Barrier(4)

    def work(_: int) -> bool:
        barrier.wait()
        key = ""
        for _ in range(5):
            key = blobs.put(io.BytesIO(b"same")).key
            blobs.delete(key, unused_for_s=60)
        return blobs.exists(key)

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(4)))


def test_a_text_reads_as_it_was_written(blobs: BlobStore) -> None:
    key = write(blobs, "doc-1.v1", "# Über\n", "", "日本語 🙂\r\n", "end\x00")
    text = "# Über\n日本語 🙂\r\nend\x00"
    assert key == "text/doc-1.v1"
    assert blobs.text_length(key) == len(text)
    assert "".join(blobs.read_text(key)) == text
    assert blobs.read_span(key, 2, 6) == "Über"
    assert blobs.read_span(key, 7, 10**9) == text[7:]
    assert blobs.read_span(key, 99, 100) == ""


@pytest.mark.parametrize(("start", "end"), [(-1, 2), (3, 2)])
def test_a_span_that_is_none_is_refused(blobs: BlobStore, start: int, end: int) -> None:
    key = write(blobs, "a", "text")
    with pytest.raises(InvalidRequestError):
        blobs.read_span(key, start, end)


def test_an_empty_text_is_a_text(blobs: BlobStore) -> None:
    key = write(blobs, "empty")
    assert (blobs.text_length(key), blobs.read_span(key, 0, 5), list(blobs.read_text(key))) == (0, "", [])


def test_a_text_that_breaks_off_leaves_the_earlier_one(blobs: BlobStore) -> None:
    key = write(blobs, "a", "old")
    with pytest.raises(MalformedDocumentError):
        write(blobs, "a", "new", "\ud800")
    assert "".join(blobs.read_text(key)) == "old"
    assert write(blobs, "a", "new") == key
    assert "".join(blobs.read_text(key)) == "new"


def test_a_file_that_is_no_text_is_told(blobs: BlobStore) -> None:
    for content in (b"", b"x" * 100):
        with pytest.raises(NotFoundError):
            blobs.read_span(blobs.put(io.BytesIO(content)).key, 0, 1)


@pytest.mark.parametrize("kind", ["folder", "s3"])
def test_memory_does_not_grow_with_the_file(kind: str, s3: S3Server, tmp_path: Path) -> None:
    """In a process of its own, because the server of the test is in this one."""
    url = (tmp_path / "blobs").as_uri() if kind == "folder" else f"s3://{BUCKET}/{tmp_path.name}"
    options = {name: value.get_secret_value() for name, value in s3.options().items()}
    script = f"""
import resource, warnings
from pathlib import Path
from pipelines.core.blobs import make_blobs
from pipelines.core.settings import BlobSettings
blobs = make_blobs(BlobSettings(url={url!r}, options={options if kind == "s3" else {}!r}), Path("unused"))
blobs.put([b"small"])
with blobs.text_writer("small") as writer:
    writer.write("small")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
blob = blobs.put(bytes([number]) * 65_536 for number in [*range(250)] * 6)
with blobs.local(blob.key) as path:
    assert path.stat().st_size == blob.size_bytes == 98_304_000
with blobs.text_writer("large") as writer:
    for _ in range(500):
        writer.write("\u00fc" * 65_536)
assert blobs.read_span("text/large", 13_000_000, 13_000_010) == "\u00fc" * 10
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 48  # MiB; 94 and 62 MiB went through


def test_a_forked_process_uses_the_same_store(blobs: BlobStore) -> None:
    """As Celery's prefork pool does."""
    before = blobs.put([b"before the fork"])
    child = os.fork()
    if child == 0:
        try:
            good = content(blobs, before.key) == b"before the fork" and blobs.put([b"after the fork"]).size_bytes == 14
        finally:
            os._exit(0 if good else 1)
    until = time.monotonic() + 20
    while (done := os.waitpid(child, os.WNOHANG))[0] == 0:
        if time.monotonic() > until:
            os.kill(child, 9)
            os.waitpid(child, 0)
            pytest.fail("the child hangs")
        time.sleep(0.02)
    assert os.waitstatus_to_exitcode(done[1]) == 0
    assert sorted(content(blobs, key) for key in files(blobs)) == [b"after the fork", b"before the fork"]


# --- Folder --------------------------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_spans_equal_slices(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    blobs = FolderBlobs(tmp_path_factory.getbasetemp() / "spans")
    unit = data.draw(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=7))
    length = data.draw(st.sampled_from([1, INDEX_EVERY - 1, INDEX_EVERY, INDEX_EVERY + 1, 2 * INDEX_EVERY, 150_000]))
    text = (unit * (length // len(unit) + 1))[:length]
    cut = data.draw(st.integers(0, length))
    key = write(blobs, "spans", text[:cut], text[cut:])
    assert blobs.text_length(key) == length
    edge = st.integers(0, length + 5) | st.sampled_from([INDEX_EVERY - 1, INDEX_EVERY, INDEX_EVERY + 1])
    start, end = sorted([data.draw(edge), data.draw(edge)])
    assert blobs.read_span(key, start, end) == text[start:end]


def test_what_a_killed_writer_left_is_removed_once_it_is_old(tmp_path: Path) -> None:
    blobs = FolderBlobs(tmp_path)
    left = tmp_path / "partial" / "tmpx"
    left.write_bytes(b"half")
    assert blobs.remove_partial() == 0
    os.utime(left, (1, 1))
    assert blobs.remove_partial() == 1
    assert not left.exists()


def test_files_are_private_to_their_owner(tmp_path: Path) -> None:
    blobs = FolderBlobs(tmp_path)
    with blobs.local(blobs.put(io.BytesIO(b"x")).key) as path:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


# --- Object store --------------------------------------------------------------------------------------------------


def test_what_a_killed_process_spooled_is_removed_unless_somebody_uses_it(s3: S3Server, spooled: Path) -> None:
    blobs = object_blobs(s3, "spool")
    left = spooled / f"{remote.SPOOL_PREFIX}left"
    left.write_bytes(b"half")
    with remote.spool() as (_, used):
        for path in (left, used):
            os.utime(path, (1, 1))
        assert blobs.remove_partial() == 1
        assert (left.exists(), used.exists()) == (False, True)


def test_an_upload_that_is_cut_leaves_nothing_visible(s3: S3Server, spooled: Path) -> None:
    line = Line(s3.port)
    try:
        blobs = object_blobs(s3, "cut", port=line.port, timeout_s=5)
        line.cut_after = 20_000_000
        with pytest.raises(BlobsUnavailableError):
            blobs.put(bytes([number]) * 1_000_000 for number in range(40))
        with pytest.raises(BlobsUnavailableError), blobs.text_writer("cut") as writer:
            writer.write("text")
    finally:
        line.close()
    assert s3.keys("cut/") == []
    assert list(spooled.iterdir()) == []


def test_a_server_that_went_away_is_told_in_time_and_used_again(s3: S3Server, tmp_path: Path) -> None:
    blobs = object_blobs(s3, tmp_path.name, timeout_s=2)
    key = blobs.put([b"here"]).key
    s3.stop()
    try:
        for _ in range(4):
            begun = time.monotonic()
            with pytest.raises(BlobsUnavailableError) as caught:
                blobs.exists(key)
            assert time.monotonic() - begun < 15
        assert caught.value.retry_after_s is not None  # by now nobody asks the server any more
        assert "hidden-secret" not in caught.value.detail
    finally:
        s3.start()
    until = time.monotonic() + 60
    while True:
        try:
            assert content(blobs, key) == b"here"
            break
        except BlobsUnavailableError:
            assert time.monotonic() < until
            time.sleep(0.2)


def test_a_server_that_does_not_answer_costs_the_bound_on_a_call(s3: S3Server) -> None:
    line = Line(s3.port)
    line.silent = True
    try:
        blobs = object_blobs(s3, "silent", port=line.port, timeout_s=1)
        begun = time.monotonic()
        with pytest.raises(BlobsUnavailableError):
            blobs.exists(MISSING)
        assert 0.9 < time.monotonic() - begun < 15
    finally:
        line.close()


def test_credentials_that_are_refused_are_a_fault_of_the_configuration(s3: S3Server) -> None:
    s3.check_keys(True)
    try:
        blobs = object_blobs(s3, "refused", secret="another-secret")
        for call in (lambda: blobs.put([b"x"]), lambda: blobs.exists(MISSING), lambda: list(blobs.keys())):
            with pytest.raises(ConfigurationError) as caught:
                call()
            assert "`key` and `secret` in blobs.options" in caught.value.detail
            assert "another-secret" not in caught.value.detail
    finally:
        s3.check_keys(False)


def test_a_bucket_that_is_missing_is_a_fault_of_the_configuration(s3: S3Server) -> None:
    blobs = make_blobs(BlobSettings(url="s3://no-such-bucket", options=s3.options()), Path("unused"))
    with pytest.raises(ConfigurationError, match="no such bucket"):
        blobs.put([b"x"])


@pytest.mark.parametrize("url", ["bucket/prefix", "s3://key:secret@bucket/x"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"blobs\.url"):
        make_blobs(BlobSettings(url=url), Path("unused"))


def test_other_file_systems_work_as_well() -> None:
    blobs = make_blobs(BlobSettings(url="memory://strata"), Path("unused"))
    key = blobs.put([b"in memory"]).key
    assert content(blobs, key) == b"in memory"
    assert list(blobs.keys()) == [key]
    assert write(blobs, "a", "text") == "text/a"
    assert blobs.read_span("text/a", 1, 3) == "ex"
    assert blobs.delete(key)
    assert not blobs.exists(key)


def test_an_option_that_the_file_system_does_not_know_is_told() -> None:
    blobs = make_blobs(BlobSettings(url="s3://test", options={"colour": SecretStr("blue")}), Path("unused"))
    with pytest.raises(ConfigurationError, match=r"blobs\.options"):
        blobs.exists(MISSING)


def test_an_object_that_is_put_while_it_is_deleted_stays(
    s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs = object_blobs(s3, tmp_path.name)
    key = blobs.put([b"unused for long"]).key
    age(blobs, key)
    removing, put = threading.Event(), threading.Event()
    remove = blobs._files.remove

    def late(path: str) -> None:
        if objects.DELETING not in path:
            removing.set()
            assert put.wait(10)
        remove(path)

    monkeypatch.setattr(blobs._files, "remove", late)
    with ThreadPoolExecutor(2) as pool:
        deleting = pool.submit(blobs.delete, key, unused_for_s=3600)
        assert removing.wait(10)  # it has looked at the age
        putting = pool.submit(object_blobs(s3, tmp_path.name).put, [b"unused for long"])
        time.sleep(0.5)
        assert not putting.done()
        put.set()
        assert deleting.result(10)
        assert putting.result(10).key == key
    assert content(blobs, key) == b"unused for long"
    assert [name for name in s3.keys(tmp_path.name) if objects.DELETING in name] == []


def test_files_are_flushed_to_disk_side_by_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blobs = FolderBlobs(tmp_path)
    together = threading.Barrier(2, timeout=10)
    monkeypatch.setattr("os.fsync", lambda _: together.wait())
    with ThreadPoolExecutor() as pool:
        keys = {blob.key for blob in pool.map(lambda content: blobs.put(io.BytesIO(content)), (b"one", b"two"))}
    assert all(map(blobs.exists, keys))
    assert len(keys) == 2
