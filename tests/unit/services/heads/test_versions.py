"""Versions of heads: packed, stored, fetched, checked, and put to work, also when something is broken."""

import hashlib
import io
import json
import logging
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from pipelines.core.blobs import FolderBlobs
from pipelines.core.encoders.cache import MANIFEST, ModelCache
from pipelines.core.encoders.spec import HEAD_FILE, HeadSpec
from pipelines.core.errors import ConfigurationError, InvalidRequestError, StateUnavailableError
from pipelines.core.settings import HeadSettings
from pipelines.core.state import Database, HeadVersion, HeadVersions, sqlite_url
from services.heads.archive import MAX_BYTES, pack, sha256_of, unpack
from services.heads.versions import HeadStore
from services.heads.watch import REFUSED_S, HeadWatch


def make(folder: Path, version: str = "1", name: str = "evidence") -> Path:
    folder.mkdir(parents=True)
    HeadSpec(name=name, version=version, backbone="b", pair_labels=("helps",), max_tokens=256).write(folder)  # type: ignore[arg-type]
    save_file({"pair.weight": np.full((1, 8), float(len(version)), np.float32)}, folder / HEAD_FILE)
    (folder / "adapter_config.json").write_text("{}")
    return folder


@pytest.fixture
def versions(tmp_path: Path) -> Iterator[HeadVersions]:
    database = Database(sqlite_url(tmp_path / "state.sqlite"))
    yield HeadVersions(database)
    database.close()


@pytest.fixture
def blobs(tmp_path: Path) -> FolderBlobs:
    return FolderBlobs(tmp_path / "blobs")


@pytest.fixture
def store(versions: HeadVersions, blobs: FolderBlobs, tmp_path: Path) -> HeadStore:
    return HeadStore(versions, blobs, ModelCache(tmp_path / "cache"))


def test_the_same_folder_is_always_the_same_bytes(tmp_path: Path) -> None:
    folder = make(tmp_path / "head")
    packed = pack(folder)
    (folder / "notes.txt").write_text("left out")
    assert pack(folder) == packed
    other = tmp_path / "other"
    other.mkdir()
    unpack(packed, other)
    assert pack(other) == packed
    (folder / HEAD_FILE).unlink()
    with pytest.raises(InvalidRequestError):
        pack(folder)


def hostile(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for member, content in members:
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return file.getvalue()


def link() -> tarfile.TarInfo:
    member = tarfile.TarInfo("head.json")
    member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
    return member


@pytest.mark.parametrize(
    "packed",
    [
        b"",
        b"\x00" * 4096,
        hostile((tarfile.TarInfo("../head.json"), b"{}"), (tarfile.TarInfo(HEAD_FILE), b"")),
        hostile(
            (tarfile.TarInfo("head.json"), b"{}"), (tarfile.TarInfo(HEAD_FILE), b""), (tarfile.TarInfo("x.py"), b"")
        ),
        hostile((link(), b""), (tarfile.TarInfo(HEAD_FILE), b"")),
        hostile(*[(tarfile.TarInfo(name), b"") for name in ("head.json", "head.json", HEAD_FILE)]),
    ],
)
def test_what_is_no_head_is_not_unpacked(packed: bytes, tmp_path: Path) -> None:
    (tmp_path / "into").mkdir()
    with pytest.raises(InvalidRequestError):
        unpack(packed, tmp_path / "into")
    assert list((tmp_path / "into").iterdir()) == []
    assert MAX_BYTES < 100 * 1024 * 1024


def test_a_version_is_stored_once_and_fetched_as_it_was(store: HeadStore, tmp_path: Path) -> None:
    folder = make(tmp_path / "head")
    first = store.add(folder, {"live": 0.5})
    assert store.add(folder, {}) == first
    assert first.sha256 == sha256_of(pack(folder))
    fetched = store.folder(first)
    assert pack(fetched) == pack(folder)
    (fetched / HEAD_FILE).write_bytes(b"changed on this disk")
    assert pack(store.folder(first)) == pack(folder)
    with pytest.raises(InvalidRequestError):
        store.add(tmp_path, {})


def spoil(blobs: FolderBlobs, version: HeadVersion) -> None:
    with blobs.local(version.blob_key) as path:
        content = bytearray(path.read_bytes())
        content[600] ^= 1
        path.write_bytes(bytes(content))


def test_a_blob_that_was_tampered_with_is_refused(store: HeadStore, blobs: FolderBlobs, tmp_path: Path) -> None:
    version = store.add(make(tmp_path / "head"), {})
    spoil(blobs, version)
    with pytest.raises(ConfigurationError, match="damaged"):
        store.folder(version)


def test_a_cache_that_was_tampered_with_is_refused(store: HeadStore, tmp_path: Path) -> None:
    version = store.add(make(tmp_path / "head"), {})
    folder = store.folder(version)
    (folder / "README.md").write_text("mine")
    digests = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
    digests.pop(MANIFEST)
    (folder / MANIFEST).write_text(json.dumps(digests))
    with pytest.raises(ConfigurationError, match="not the register's"):
        store.folder(version)


class Process:
    """Stands in for the heads of a process: which version is live, and what it thinks of folders."""

    def __init__(self) -> None:
        self.live: dict[str, str | None] = {}
        self.error: Exception | None = None

    def swap(self, name: str, folder: Path | None) -> None:
        if self.error:
            raise self.error
        self.live[name] = folder and HeadSpec.read(folder).version


@pytest.fixture
def process() -> Process:
    return Process()


@pytest.fixture
def told() -> list[tuple[str, str, str]]:
    return []


@pytest.fixture
def now() -> list[float]:
    return [0.0]


@pytest.fixture
def watch(
    process: Process, versions: HeadVersions, store: HeadStore, told: list[tuple[str, str, str]], now: list[float]
) -> HeadWatch:
    return HeadWatch(
        HeadSettings(support="builtin", poll_s=0.01),
        lambda: process,  # type: ignore[arg-type,return-value]
        versions=lambda: versions,
        store=lambda: store,
        swapped=lambda *what: told.append(what),
        clock=lambda: now[0],
    )


Accept = Callable[..., HeadVersion]


@pytest.fixture
def accept(store: HeadStore, versions: HeadVersions, tmp_path: Path) -> Accept:
    def accept(version: str, name: str = "evidence") -> HeadVersion:
        store.add(make(tmp_path / name / version, version, name), {})
        return versions.accept(name, version)

    return accept


def test_what_is_accepted_becomes_live_and_what_is_rolled_back_goes(
    watch: HeadWatch, process: Process, accept: Accept, versions: HeadVersions, told: list[tuple[str, str, str]]
) -> None:
    accept("1")
    accept("1", "support")
    accept("1", "resolve")
    watch.follow(["evidence", "support"])
    assert process.live == {"evidence": "1"}, "support stays the shipped one, resolve is not this process's"
    watch.follow(["evidence"])
    watch.look()
    accept("2")
    watch.look()
    versions.roll_back("evidence")
    watch.look()
    versions.roll_back("evidence")
    watch.look()
    assert process.live == {"evidence": None}
    assert told == [("evidence", version, "live") for version in ("1", "2", "1", "shipped")]


def test_a_broken_version_is_refused_and_the_old_one_stays(
    watch: HeadWatch, process: Process, accept: Accept, blobs: FolderBlobs, now: list[float],
    told: list[tuple[str, str, str]], caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    accept("1")
    watch.follow(["evidence"])
    spoil(blobs, accept("2"))
    watch.look()
    watch.look()
    assert process.live == {"evidence": "1"}
    assert told == [("evidence", "1", "live"), ("evidence", "2", "refused")]
    assert "the head evidence 2 cannot be used, 1 stays" in caplog.text
    process.error = RuntimeError("the files crash the engine")
    accept("3")
    watch.look()
    assert told[-1] == ("evidence", "3", "refused")
    process.error = None
    watch.look()
    assert process.live == {"evidence": "1"}, "it is left alone for a while"
    now[0] += REFUSED_S
    watch.look()
    assert process.live == {"evidence": "3"}


def test_a_state_that_is_away_changes_nothing(
    watch: HeadWatch, accept: Accept, process: Process, monkeypatch: pytest.MonkeyPatch, versions: HeadVersions,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    accept("1")
    watch.follow(["evidence"])

    def away() -> dict[str, HeadVersion]:
        raise StateUnavailableError("away")

    with caplog.at_level(logging.WARNING):
        monkeypatch.setattr(versions, "live", away)
        watch.look()
    assert process.live == {"evidence": "1"}
    assert "not known" in caplog.text


def test_a_thread_looks_by_itself_and_ends(watch: HeadWatch, process: Process, accept: Accept) -> None:
    watch.follow(["evidence"])
    watch.start()
    accept("1")
    watch_until(lambda: process.live.get("evidence") == "1")
    watch.close()
    accept("2")
    watch.close()
    assert process.live == {"evidence": "1"}


def watch_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
