"""Collections and aliases on disk, for `tests.support.qdrant_server`."""

import json
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import qdrant_edge as edge

from pipelines.core.store.gate import Gate
from tests.support import qdrant_wire as wire
from tests.support.qdrant_wire import Json, WireError

FLUSH_EVERY = 16_384


class HttpError(Exception):
    """An error as the server answers it."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


class Collection:
    """A shard, what it was made with, and its payload indexes."""

    def __init__(self, name: str, folder: Path, meta: Json) -> None:
        self.name, self.folder, self.meta = name, folder, meta
        self.shard = (
            edge.EdgeShard.load(str(folder))
            if folder.exists()
            else edge.EdgeShard.create(str(_made(folder)), wire.config(meta["config"]))
        )
        self._gate = Gate()
        self._gone = False
        self._unflushed = 0

    @contextmanager
    def using(self) -> Iterator[edge.EdgeShard]:
        """Holds the shard open."""
        with self._gate.reading():
            if self._gone:
                raise _missing(self.name)
            yield self.shard

    def update(self, operations: Sequence[edge.UpdateOperation], points: int = 0, pause_s: float = 0.0) -> Json:
        """Applies updates in order; each is in the log when this returns."""
        with self.using() as shard:
            for place, each in enumerate(operations):
                if place and pause_s:
                    time.sleep(pause_s)
                shard.update(each)
            self._unflushed += points
            if self._unflushed >= FLUSH_EVERY:
                self._unflushed = 0
                shard.flush()
        return {"operation_id": 0, "status": "completed"}

    def close(self) -> None:
        """Waits for those who use it, then closes it."""
        with self._gate.writing():
            self._gone = True
            self.shard.close()

    def info(self) -> Json:
        """A `CollectionInfo`."""
        with self.using() as shard:
            info = shard.info()
        config = self.meta["config"]
        return {
            "status": "green",
            "optimizer_status": "ok",
            "points_count": info.points_count,
            "indexed_vectors_count": info.indexed_vectors_count,
            "segments_count": info.segments_count,
            "config": {
                "params": {"vectors": config["vectors"], "sparse_vectors": config.get("sparse_vectors")},
                "hnsw_config": config["hnsw_config"],
                "optimizer_config": {
                    "deleted_threshold": 0.2,
                    "vacuum_min_vector_number": 1000,
                    "default_segment_number": 0,
                    "flush_interval_sec": 5,
                    **config["optimizers_config"],
                },
                "metadata": config.get("metadata"),
            },
            "payload_schema": {
                key: {"data_type": schema if isinstance(schema, str) else schema["type"], "points": 0}
                for key, schema in self.meta["indexes"].items()
            },
        }


class Catalogue:
    """Collections and aliases in a folder. What a method changed is on disk when it returns."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.RLock()
        self.collections: dict[str, Collection] = {}
        self.aliases: dict[str, str] = {}
        folder.mkdir(parents=True, exist_ok=True)
        if self._file.exists():
            kept = json.loads(self._file.read_text("utf-8"))
            self.aliases = kept["aliases"]
            for name, meta in kept["collections"].items():
                self.collections[name] = Collection(name, folder / meta["folder"], meta)
        for path in folder.iterdir():
            if path.is_dir() and path not in {each.folder for each in self.collections.values()}:
                shutil.rmtree(path)

    def get(self, name: str) -> Collection:
        """A collection by its name or an alias."""
        with self._lock:
            found = self.collections.get(self.aliases.get(name, name))
        if found is None:
            raise _missing(name)
        return found

    def create(self, name: str, config: Json) -> bool:
        """A new collection."""
        with self._lock:
            if name in self.collections or name in self.aliases:
                raise HttpError(409, f"Wrong input: Collection `{name}` already exists!")
            meta: Json = {"folder": uuid4().hex, "config": config, "indexes": {}}
            self.collections[name] = Collection(name, self._folder / meta["folder"], meta)
            self._save()
        return True

    def drop(self, name: str) -> bool:
        """Removes a collection and its aliases; the real server too says `false` where there is none."""
        with self._lock:
            found = self.collections.pop(name, None)
            if found is None:
                return False
            self.aliases = {alias: target for alias, target in self.aliases.items() if target != name}
            self._save()
        found.close()
        shutil.rmtree(found.folder, ignore_errors=True)
        return True

    def index(self, name: str, key: str, schema: str | Json) -> Json:
        """A new payload index."""
        collection = self.get(name)
        collection.update([edge.UpdateOperation.create_field_index(key, wire.field_index(schema))])
        with self._lock:
            collection.meta["indexes"][key] = schema
            self._save()
        return {"operation_id": 0, "status": "completed"}

    def change_aliases(self, actions: Sequence[Json]) -> bool:
        """All of the actions, or none."""
        with self._lock:
            aliases = dict(self.aliases)
            for action in actions:
                ((kind, what),) = action.items()
                if kind == "create_alias":
                    target, alias = wire.take(what, "collection_name", "alias_name")
                    if target not in self.collections:
                        raise _missing(target)
                    aliases[alias] = target
                elif kind == "delete_alias":
                    aliases.pop(what["alias_name"], None)
                else:
                    raise WireError(f"unknown action {kind}")
            self.aliases = aliases
            self._save()
        return True

    def close(self) -> None:
        """Flushes and closes everything."""
        for each in self.collections.values():
            each.shard.flush()
            each.close()

    @property
    def _file(self) -> Path:
        return self._folder / "catalogue.json"

    def _save(self) -> None:
        kept = {"aliases": self.aliases, "collections": {name: each.meta for name, each in self.collections.items()}}
        partial = self._file.with_suffix(".partial")
        partial.write_text(json.dumps(kept), "utf-8")
        partial.replace(self._file)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _missing(name: str) -> HttpError:
    return HttpError(404, f"Not found: Collection `{name}` doesn't exist!")
