"""Converted models on disk: made once, whole or not there, checked when they are taken."""

import errno
import fcntl
import hashlib
import json
import logging
import os
import shutil
import stat
import tempfile
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

logger = logging.getLogger(__name__)

MANIFEST = "manifest.json"
"""The hashes of a folder's files. Its time is when the folder was last taken, to within `MARK_S`."""
MARK_S = 24 * 3600.0
UNUSED_S = 30 * 24 * 3600.0
"""A folder that no process took for so long is dropped: models are converted anew with every version of OpenVINO."""
PARTIAL = ".partial-"


class ModelCache:
    """Folders of files by key. Processes may share one; where it cannot be used, what is made lasts as long as this.

    What is in a folder that other users may write is not read: its files would be theirs, and its manifest too. What is
    unused is dropped when something is added. A process that has its files open or mapped keeps them.

    Args:
        root: `None` for the user's cache folder.
    """

    def __init__(self, root: Path | None) -> None:
        self._root = root or user_cache()
        self._kept: dict[str, Path] = {}

    def folder(self, key: str, make: Callable[[Path], None]) -> Path:
        """The folder of a key. `make` fills it where there is none yet, or where its files are not what was written."""
        if key in self._kept:
            return self._kept[key]
        folder = self._root / key
        try:
            self._root.mkdir(parents=True, exist_ok=True, mode=0o700)
            _check_owner(self._root)
            self._mark(key)
            if not _whole(folder):
                with self._alone(key):
                    if not _whole(folder):  # another process made it meanwhile
                        self._make(folder, make)
                self._drop_unused()
            return folder
        except OSError as error:
            logger.warning("converted models cannot be kept in %s: %s", self._root, error.strerror or error)
            self._kept[key] = self._scratch(make)
            return self._kept[key]

    def _scratch(self, make: Callable[[Path], None]) -> Path:
        scratch = Path(tempfile.mkdtemp(prefix="strata-model-"))
        remove = weakref.finalize(self, shutil.rmtree, scratch, ignore_errors=True)
        try:
            make(scratch)
        except BaseException:
            remove()
            raise
        return scratch

    def _make(self, folder: Path, make: Callable[[Path], None]) -> None:
        partial = folder.with_name(f"{PARTIAL}{folder.name}")
        for old in (folder, partial):  # of a process that was killed
            shutil.rmtree(old, ignore_errors=True)
        partial.mkdir(mode=0o700)
        try:
            make(partial)
            (partial / MANIFEST).write_text(json.dumps(_digests(partial)))
            partial.rename(folder)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise

    def _mark(self, key: str) -> None:
        """Notes that a folder is taken. Under its lock, so that no process drops it between this and its reading."""
        manifest = self._root / key / MANIFEST
        with suppress(OSError):  # there is none yet, or the cache can only be read
            if time.time() - manifest.stat().st_mtime > MARK_S:
                with self._alone(key):
                    os.utime(manifest)

    def _drop_unused(self) -> None:
        """Removes what nobody took for `UNUSED_S`, but for what a process is making or taking right now."""
        for folder in self._root.iterdir():
            key = folder.name.removeprefix(PARTIAL)
            if not _unused(folder):
                continue
            with suppress(OSError), self._alone(key, wait=False):  # another process has it in hand
                if _unused(folder):
                    shutil.rmtree(folder, ignore_errors=True)
                    logger.info("dropped %s: unused for %d days", folder, UNUSED_S // 86400)

    @contextmanager
    def _alone(self, key: str, *, wait: bool = True) -> Iterator[None]:
        """Lets one process make it: the others' processors have better things to do.

        Raises:
            BlockingIOError: another process has it, and it is not to be waited for.
        """
        with (self._root / f".{key}.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield


def key_of(*parts: str) -> str:
    """A key that names all of the parts."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def user_cache() -> Path:
    """The user's cache folder, as XDG has it."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "strata" / "models"


def _check_owner(root: Path) -> None:
    """Raises `PermissionError` where other users may put files. A group may: volumes of containers belong to one."""
    found = root.stat()
    if found.st_uid not in (os.geteuid(), 0) or found.st_mode & stat.S_IWOTH:
        raise PermissionError(errno.EPERM, "other users may write to it")


def _unused(folder: Path) -> bool:
    """Whether it is a folder of the cache that nobody took for long; one without a manifest is not the cache's.

    What a killed process left half-made has no manifest yet: there the folder's own time counts.
    """
    if folder.is_symlink() or not folder.is_dir():
        return False
    partial = folder.name.startswith(PARTIAL)
    try:
        taken = (folder if partial else folder / MANIFEST).stat().st_mtime
    except OSError:
        return False
    return time.time() - taken > UNUSED_S


def _whole(folder: Path) -> bool:
    try:
        return bool(json.loads((folder / MANIFEST).read_bytes()) == _digests(folder))
    except (OSError, ValueError):
        return False


def _digests(folder: Path) -> dict[str, str]:
    found = {}
    for path in sorted(folder.iterdir()):
        if path.name != MANIFEST:
            with path.open("rb") as file:
                found[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
    return found
