import io
import os
import stat
import threading
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.core.blobs import INDEX_EVERY, BlobStore, FolderBlobs
from pipelines.core.errors import InvalidRequestError, MalformedDocumentError, NotFoundError, RequestTooLargeError

MISSING = "sha256/" + "0" * 64


@pytest.fixture
def blobs(tmp_path: Path) -> FolderBlobs:
    return FolderBlobs(tmp_path / "blobs")


def files(blobs: FolderBlobs) -> list[str]:
    return sorted(blobs.keys())


def write(blobs: FolderBlobs, name: str, *pieces: str) -> str:
    with blobs.text_writer(name) as writer:
        for piece in pieces:
            writer.write(piece)
    return writer.key


def test_a_file_is_found_by_its_content(blobs: FolderBlobs) -> None:
    store: BlobStore = blobs
    blob = store.put(io.BytesIO(b"hello"))
    assert store.put([b"he", b"", b"llo"]) == blob
    assert blob.key == f"sha256/{blob.sha256}"
    assert blob.size_bytes == 5
    with store.open(blob.key) as file:
        assert file.read() == b"hello"
    assert store.local_path(blob.key).read_bytes() == b"hello"
    assert files(blobs) == [blob.key]


def test_an_empty_file_is_a_file(blobs: FolderBlobs) -> None:
    blob = blobs.put(io.BytesIO())
    assert blob.size_bytes == 0
    assert blobs.exists(blob.key)


def test_a_file_that_is_too_large_leaves_nothing(blobs: FolderBlobs, tmp_path: Path) -> None:
    with pytest.raises(RequestTooLargeError):
        blobs.put([b"1234", b"5678"], max_bytes=7)
    assert files(blobs) == []
    assert list((tmp_path / "blobs" / "partial").iterdir()) == []


def test_a_stream_that_breaks_leaves_nothing(blobs: FolderBlobs, tmp_path: Path) -> None:
    def broken() -> Iterator[bytes]:
        yield b"1234"
        raise ConnectionError

    with pytest.raises(ConnectionError):
        blobs.put(broken())
    assert files(blobs) == []
    assert list((tmp_path / "blobs" / "partial").iterdir()) == []


@pytest.mark.parametrize(
    "key", ["", "../x", "sha256/..", "text/../../etc/passwd", "text/a/b", "text/.x", "text/a\n", "b/a"]
)
def test_a_key_never_leaves_the_folder(blobs: FolderBlobs, key: str) -> None:
    for call in (blobs.open, blobs.exists, blobs.delete, blobs.local_path):
        with pytest.raises(InvalidRequestError):
            call(key)


def test_missing_files_are_told(blobs: FolderBlobs) -> None:
    assert not blobs.exists(MISSING)
    assert not blobs.delete(MISSING)
    for call in (blobs.open, blobs.local_path, blobs.text_length, blobs.read_text):
        with pytest.raises(NotFoundError):
            call(MISSING)


def test_a_file_just_put_is_not_collected(blobs: FolderBlobs) -> None:
    blob = blobs.put(io.BytesIO(b"x"))
    path = blobs.local_path(blob.key)
    os.utime(path, (1, 1))
    assert list(blobs.keys(unused_for_s=60)) == [blob.key]
    blobs.put(io.BytesIO(b"x"))
    assert list(blobs.keys(unused_for_s=60)) == []
    assert not blobs.delete(blob.key, unused_for_s=60)
    assert blobs.delete(blob.key)
    assert not blobs.exists(blob.key)


def test_what_a_killed_writer_left_is_removed_once_it_is_old(blobs: FolderBlobs, tmp_path: Path) -> None:
    left = tmp_path / "blobs" / "partial" / "tmpx"
    left.write_bytes(b"half")
    assert blobs.remove_partial() == 0
    os.utime(left, (1, 1))
    assert blobs.remove_partial() == 1
    assert not left.exists()


def test_files_are_private_to_their_owner(blobs: FolderBlobs) -> None:
    path = blobs.local_path(blobs.put(io.BytesIO(b"x")).key)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_threads_may_put_and_delete_the_same_content(blobs: FolderBlobs) -> None:
    barrier = threading.Barrier(4)

    def work(_: int) -> bool:
        barrier.wait()
        key = ""
        for _ in range(20):
            key = blobs.put(io.BytesIO(b"same")).key
            blobs.delete(key, unused_for_s=60)
        return blobs.exists(key)

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(4)))


def test_a_text_reads_as_it_was_written(blobs: FolderBlobs) -> None:
    key = write(blobs, "doc-1.v1", "# Über\n", "", "日本語 🙂\r\n", "end\x00")
    text = "# Über\n日本語 🙂\r\nend\x00"
    assert key == "text/doc-1.v1"
    assert blobs.text_length(key) == len(text)
    assert "".join(blobs.read_text(key)) == text
    assert blobs.read_span(key, 2, 6) == "Über"
    assert blobs.read_span(key, 7, 10**9) == text[7:]
    assert blobs.read_span(key, 99, 100) == ""


@pytest.mark.parametrize(("start", "end"), [(-1, 2), (3, 2)])
def test_a_span_that_is_none_is_refused(blobs: FolderBlobs, start: int, end: int) -> None:
    key = write(blobs, "a", "text")
    with pytest.raises(InvalidRequestError):
        blobs.read_span(key, start, end)


def test_an_empty_text_is_a_text(blobs: FolderBlobs) -> None:
    key = write(blobs, "empty")
    assert (blobs.text_length(key), blobs.read_span(key, 0, 5), list(blobs.read_text(key))) == (0, "", [])


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


def test_a_text_that_breaks_off_leaves_the_earlier_one(blobs: FolderBlobs) -> None:
    key = write(blobs, "a", "old")
    with pytest.raises(MalformedDocumentError):
        write(blobs, "a", "new", "\ud800")
    assert "".join(blobs.read_text(key)) == "old"
    assert write(blobs, "a", "new") == key
    assert "".join(blobs.read_text(key)) == "new"


def test_a_file_that_is_no_text_is_told(blobs: FolderBlobs) -> None:
    for content in (b"", b"x" * 100):
        with pytest.raises(NotFoundError):
            blobs.read_span(blobs.put(io.BytesIO(content)).key, 0, 1)


def test_memory_does_not_grow_with_the_file(blobs: FolderBlobs) -> None:
    piece = "ü" * 65_536
    tracemalloc.start()
    blob = blobs.put(b"x" * 65_536 for _ in range(400))
    with blobs.text_writer("large") as writer:
        for _ in range(200):
            writer.write(piece)
    assert blobs.read_span("text/large", 13_000_000, 13_000_010) == "ü" * 10
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert blob.size_bytes == 400 * 65_536
    assert peak < 4_000_000
