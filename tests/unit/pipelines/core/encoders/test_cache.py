"""Converted models on disk."""

import os
import stat
import tempfile
import threading
import time
from pathlib import Path

import pytest

from pipelines.core.encoders.cache import MANIFEST, ModelCache, key_of


class Maker:
    """Counts how often it was asked to make the files."""

    def __init__(self, content: str = "weights") -> None:
        self.content, self.made = content, 0

    def __call__(self, folder: Path) -> None:
        self.made += 1
        (folder / "model.bin").write_text(self.content)


def read(folder: Path) -> str:
    return (folder / "model.bin").read_text()


def test_made_once_and_found_by_another_process_s_cache(tmp_path: Path) -> None:
    make = Maker()
    assert read(ModelCache(tmp_path).folder("key", make)) == "weights"
    assert read(ModelCache(tmp_path).folder("key", make)) == "weights"
    assert make.made == 1
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o700


@pytest.mark.parametrize("broken", ["cut", "changed", "missing", "no manifest", "bad manifest", "extra"])
def test_whatever_is_not_what_was_written_is_made_anew(tmp_path: Path, broken: str) -> None:
    cache, make = ModelCache(tmp_path), Maker()
    folder = cache.folder("key", make)
    match broken:
        case "cut":
            (folder / "model.bin").write_text("weigh")
        case "changed":
            (folder / "model.bin").write_text("weightz")
        case "missing":
            (folder / "model.bin").unlink()
        case "no manifest":
            (folder / "manifest.json").unlink()
        case "bad manifest":
            (folder / "manifest.json").write_text("{")
        case "extra":
            (folder / "more.bin").write_text("?")
    assert read(cache.folder("key", make)) == "weights"
    assert make.made == 2
    assert {path.name for path in folder.iterdir()} == {"model.bin", "manifest.json"}


def test_a_failed_conversion_leaves_nothing(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "model.bin").write_text("half")
        raise RuntimeError("no")

    cache = ModelCache(tmp_path)
    with pytest.raises(RuntimeError):
        cache.folder("key", fail)
    assert [path.name for path in tmp_path.iterdir() if not path.name.endswith(".lock")] == []
    assert read(cache.folder("key", Maker())) == "weights"


def test_a_folder_that_cannot_be_made_is_done_without(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("not a folder")
    cache, make = ModelCache(tmp_path / "file"), Maker()
    folder = cache.folder("key", make)
    assert read(folder) == "weights"
    assert not folder.is_relative_to(tmp_path)
    assert "cannot be kept" in caplog.text


@pytest.mark.skipif(os.getuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_read(tmp_path: Path) -> None:
    make = Maker()
    ModelCache(tmp_path).folder("key", make)
    tmp_path.chmod(0o500)
    try:
        assert read(ModelCache(tmp_path).folder("key", make)) == "weights"
        assert read(ModelCache(tmp_path).folder("other", make)) == "weights"
    finally:
        tmp_path.chmod(0o700)
    assert make.made == 2


def test_what_others_may_have_put_there_is_not_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ModelCache(tmp_path).folder("key", Maker("poison"))
    tmp_path.chmod(0o1777)
    assert read(ModelCache(tmp_path).folder("key", Maker())) == "weights"
    assert "other users may write" in caplog.text


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".partial-key").mkdir()
    (tmp_path / ".partial-key" / "model.bin").write_text("half")
    assert read(ModelCache(tmp_path).folder("key", Maker())) == "weights"
    assert not (tmp_path / ".partial-key").exists()


def aged(folder: Path, days: float) -> Path:
    then = time.time() - days * 86400
    for path in (folder / MANIFEST, folder):
        if path.exists():
            os.utime(path, (then, then))
    return folder


def test_what_nobody_took_for_long_is_dropped_when_something_is_added(tmp_path: Path) -> None:
    make = Maker()
    old, taken, recent = (ModelCache(tmp_path).folder(key, make) for key in ("old", "taken", "recent"))
    (left := tmp_path / ".partial-killed").mkdir()
    (foreign := tmp_path / "notes").mkdir()
    (tmp_path / "link").symlink_to(foreign, target_is_directory=True)
    with (old / "model.bin").open() as file:
        for each, days in ((old, 31), (taken, 31), (recent, 29), (left, 31), (foreign, 31)):
            aged(each, days)
        ModelCache(tmp_path).folder("taken", make)
        assert old.exists()
        ModelCache(tmp_path).folder("new", make)
        assert file.read() == "weights", "who has it open keeps it"
    there = {path.name for path in tmp_path.iterdir() if not path.name.endswith(".lock")}
    assert there == {"taken", "recent", "new", "notes", "link"}
    assert read(ModelCache(tmp_path).folder("old", make)) == "weights"
    assert make.made == 5


def test_what_another_process_has_in_hand_is_not_dropped(tmp_path: Path) -> None:
    cache, make = ModelCache(tmp_path), Maker()
    folder = aged(cache.folder("old", make), 31)
    (partial := tmp_path / ".partial-slow").mkdir()
    aged(partial, 31)
    with cache._alone("old"), cache._alone("slow"):
        ModelCache(tmp_path).folder("new", make)
    assert folder.exists()
    assert partial.exists()


def test_a_failure_without_a_cache_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(folder: Path) -> None:
        (folder / "model.bin").write_text("half")
        raise RuntimeError("no")

    (tmp_path / "file").write_text("not a folder")
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    cache = ModelCache(tmp_path / "file")
    with pytest.raises(RuntimeError):
        cache.folder("key", fail)
    assert list((tmp_path / "scratch").iterdir()) == []


def test_several_at_once_make_it_once(tmp_path: Path) -> None:
    make, begun = Maker(), threading.Barrier(4)

    def want() -> None:
        begun.wait()
        ModelCache(tmp_path).folder("key", make)

    threads = [threading.Thread(target=want) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert make.made == 1


def test_a_key_names_all_parts() -> None:
    assert len({key_of("a", "b"), key_of("ab"), key_of("a", "", "b"), key_of("b", "a")}) == 4
