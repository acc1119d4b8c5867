import errno
import os
from pathlib import Path

import pytest
import typer

from services.cli.files import CLOSED, HIDDEN, LINKED, UNSUPPORTED, find


def test_a_folder_gives_what_can_be_read_and_counts_the_rest(tmp_path: Path) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / ".git").mkdir()
    for name in ("b.md", "a.PDF", "deep/er/c.html", "x.exe", "noending", ".hidden.md", ".git/d.md"):
        (tmp_path / name).write_text("x")
    found = find([tmp_path], leave_out=tmp_path / "data")
    assert [str(path.relative_to(tmp_path)) for path in found.files] == ["a.PDF", "b.md", "deep/er/c.html"]
    assert found.skipped == {HIDDEN: 1, UNSUPPORTED: 2}


def test_a_named_file_is_always_taken_and_only_once(tmp_path: Path) -> None:
    odd = tmp_path / ".odd.exe"
    odd.write_text("x")
    plain = tmp_path / "a.md"
    plain.write_text("x")
    found = find([odd, tmp_path, plain, tmp_path / "." / "a.md"], leave_out=tmp_path / "d")
    assert found.files == (odd, plain)


def test_a_path_with_dots_is_the_same_file(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "a.md").write_text("x")
    found = find([tmp_path / "b" / ".." / "a.md", tmp_path / "a.md"], leave_out=tmp_path / "d")
    assert found.files == (tmp_path / "a.md",)


def test_own_data_is_never_entered(tmp_path: Path) -> None:
    own = tmp_path / "data"
    own.mkdir()
    (own / "blob.md").write_text("x")
    assert find([tmp_path], leave_out=own).files == ()


def test_a_folder_that_links_to_itself_ends(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("x")
    (tmp_path / "loop").symlink_to(tmp_path, target_is_directory=True)
    found = find([tmp_path], leave_out=tmp_path / "d")
    assert (found.files, found.skipped) == ((tmp_path / "a.md",), {LINKED: 1})


def test_a_folder_that_cannot_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.md").write_text("x")
    (tmp_path / "closed").mkdir()
    scandir = os.scandir

    def scan(path: str) -> object:  # root, as whom tests may run, can read every folder
        if Path(path).name == "closed":
            raise PermissionError(errno.EACCES, "denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", scan)
    found = find([tmp_path], leave_out=tmp_path / "d")
    assert (found.files, found.skipped) == ((tmp_path / "a.md",), {CLOSED: 1})


def test_a_link_to_nothing_in_a_folder_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "gone.md").symlink_to(tmp_path / "nowhere.md")
    assert find([tmp_path], leave_out=tmp_path / "d").skipped == {UNSUPPORTED: 1}


def test_a_missing_path_is_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(typer.BadParameter, match="does not exist"):
        find([tmp_path / "nowhere"], leave_out=tmp_path / "d")
