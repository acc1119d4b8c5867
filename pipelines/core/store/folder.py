"""Where an embedded collection lives on disk: one folder a build, a pointer to the live one, and a lock.

In `<directory>/<collection>/`:

- `lock`: held by the process that has the index open; holds its pid.
- `live.json`: names the live build; replaced atomically: this is the alias swap.
- `<build>/schema.json`: what the build was made with.
- `<build>/shard/`: Qdrant's own files.
"""

import fcntl
import json
import os
import shutil
from dataclasses import asdict
from pathlib import Path
from uuid import uuid4

from pipelines.core.errors import ConflictError, IndexMismatchError, IndexUnavailableError
from pipelines.core.store.base import Schema


class CollectionFolder:
    """The folder of one collection, locked from `lock` to `unlock` against other processes and other stores."""

    def __init__(self, directory: Path, collection: str) -> None:
        self._root = directory / collection
        self._pointer = self._root / "live.json"
        self._lock: int | None = None

    def lock(self) -> None:
        """Takes the lock. The kernel drops it with the process, so that a dead one never blocks.

        Raises:
            ConflictError: it is taken; the detail names the process.
            IndexUnavailableError: the folder cannot be written.
        """
        path = self._root / "lock"
        try:
            self._root.mkdir(parents=True, exist_ok=True)
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise IndexUnavailableError(f"the index folder {self._root} cannot be used: {error.strerror}") from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            owner = os.read(handle, 32).decode(errors="replace").strip() or "unknown"
            os.close(handle)
            raise ConflictError(
                f"the index {self._root} is in use by process {owner}: stop it, or ask through its API"
            ) from error
        os.ftruncate(handle, 0)
        os.write(handle, f"{os.getpid()}\n".encode())
        self._lock = handle

    def unlock(self) -> None:
        """Gives the lock back. Idempotent."""
        handle, self._lock = self._lock, None
        if handle is not None:
            os.close(handle)

    def live(self) -> str | None:
        """The live build, or `None` when there is none yet.

        Raises:
            IndexUnavailableError: the pointer is damaged.
        """
        try:
            build = json.loads(self._pointer.read_text("utf-8"))["build"]
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise IndexUnavailableError(f"{self._pointer} is damaged: restore it from a backup") from error
        return str(build)

    def create(self, schema: Schema) -> str:
        """A new build with an empty shard folder. Nothing points to it yet."""
        build = uuid4().hex[:12]
        self.shard(build).mkdir(parents=True)
        _write_durably(self._root / build / "schema.json", asdict(schema))
        return build

    def shard(self, build: str) -> Path:
        """The folder of Qdrant's files."""
        return self._root / build / "shard"

    def schema(self, build: str) -> Schema:
        """What a build was made with.

        Raises:
            IndexMismatchError: the file is missing, or of a Strata that wrote it in another way.
        """
        path = self._root / build / "schema.json"
        try:
            return Schema(**json.loads(path.read_text("utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise IndexMismatchError(f"{path} is missing or cannot be read: this index must be built anew") from error

    def point_to(self, build: str) -> None:
        """Makes a build the live one, at once and durably."""
        _write_durably(self._pointer, {"build": build})

    def remove_others(self, *keep: str) -> int:
        """Removes all other builds, dropped ones and those of reindexes that did not finish; returns how many."""
        others = [path for path in self._root.iterdir() if path.is_dir() and path.name not in keep]
        for path in others:
            shutil.rmtree(path, ignore_errors=True)
        return len(others)

    def resumable(self, build: str, schema: Schema) -> bool:
        """Whether there is such a build, made with this schema."""
        try:
            return self.shard(build).is_dir() and self.schema(build) == schema
        except IndexMismatchError:
            return False


def _write_durably(path: Path, content: object) -> None:
    """Replaces a file so that a reader, and a machine that lost power, sees the old content or the new."""
    partial = path.with_suffix(".partial")
    with partial.open("w", encoding="utf-8") as file:
        json.dump(content, file)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
