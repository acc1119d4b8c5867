"""Which files a list of paths means."""

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import typer

from services.documents.listing import is_readable

HIDDEN, UNSUPPORTED, LINKED, CLOSED = "hidden", "unsupported ending", "link to a folder", "folder that cannot be read"


@dataclass(frozen=True, slots=True)
class Found:
    """Absolute paths to ingest, each once, in order; and how many were left out of folders, by reason."""

    files: tuple[Path, ...]
    skipped: Mapping[str, int]


def find(paths: Sequence[Path], *, leave_out: Path) -> Found:
    """Expands folders, at any depth and without following links to other folders.

    A file that is named is always taken; in folders, hidden files, endings that no converter reads and folders that
    cannot be entered are counted and left out.

    Args:
        leave_out: A folder that is never entered: Strata's own data.

    Raises:
        BadParameter: a path does not exist.
    """
    files: dict[Path, None] = {}
    skipped: Counter[str] = Counter()
    own = absolute(leave_out)
    for path in paths:
        if not path.exists():
            raise typer.BadParameter(f"{path} does not exist.", param_hint="PATH")
        for file, reason in _inside(absolute(path), own) if path.is_dir() else [(absolute(path), "")]:
            if reason:
                skipped[reason] += 1
            else:
                files[file] = None
    return Found(tuple(files), skipped)


def absolute(path: Path) -> Path:
    """The path from the root, `..` resolved and links kept: the name that the person knows the file by."""
    return Path(os.path.abspath(path))  # noqa: PTH100  # Path.resolve would follow links, Path.absolute keep `..`


def _inside(folder: Path, own: Path) -> Iterator[tuple[Path, str]]:
    """Files below a folder in a fixed order, each with the reason to leave it out, if any."""
    closed: list[OSError] = []
    for parent, folders, names in os.walk(folder, onerror=closed.append):
        here = Path(parent)
        folders[:] = sorted(name for name in folders if not name.startswith(".") and here / name != own)
        yield from ((here / name, LINKED) for name in folders if (here / name).is_symlink())
        for name in sorted(names):
            path = here / name
            if name.startswith("."):
                yield path, HIDDEN
            elif not is_readable(name) or not path.is_file():
                yield path, UNSUPPORTED
            else:
                yield path, ""
    yield from ((Path(error.filename), CLOSED) for error in closed)
