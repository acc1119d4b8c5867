"""The embedded index: Qdrant's engine in this process, on a folder."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import qdrant_edge as qdrant

from pipelines.core.errors import IndexUnavailableError, InvalidRequestError
from pipelines.core.settings import IndexSettings
from pipelines.core.store import payload
from pipelines.core.store.backend import (
    BM25,
    DENSE,
    FULL_SCAN_KIB,
    HEADINGS,
    HNSW_EF_CONSTRUCT,
    HNSW_M,
    PAGE,
    Change,
    Delete,
    Found,
    Lookup,
    Point,
)
from pipelines.core.store.base import Schema, Store, StoreInfo
from pipelines.core.store.bm25 import Sparse
from pipelines.core.store.checks import require_same
from pipelines.core.store.filters import Dialect, Where, metadata_key, render
from pipelines.core.store.folder import CollectionFolder
from pipelines.core.store.hybrid import HybridStore

FLUSH_EVERY = 16_384
"""Points between two flushes. The WAL alone survives a kill; a flush (0.3 s at 10,000 points) only keeps it short."""

_DIALECT = Dialect(
    filter=qdrant.Filter,
    field=qdrant.FieldCondition,
    match_value=qdrant.MatchValue,
    match_any=qdrant.MatchAny,
    range=qdrant.RangeFloat,
    has_id=lambda ids: qdrant.HasIdCondition(point_ids=set(ids)),
)
_METADATA_TYPES = {
    "keyword": qdrant.PayloadSchemaType.Keyword,
    "integer": qdrant.PayloadSchemaType.Integer,
    "float": qdrant.PayloadSchemaType.Float,
}


class EdgeBackend:
    """A `Backend` on an Edge shard, which is safe to share between threads and lets the GIL go while it works."""

    def __init__(self, path: Path, settings: IndexSettings, dim: int) -> None:
        """Opens the shard at `path`, or makes one in an empty folder.

        Raises:
            IndexUnavailableError: the files are damaged.
        """
        with _translated(f"the index at {path} cannot be opened"):
            if any(path.iterdir()):
                self._shard = qdrant.EdgeShard.load(str(path))
            else:
                self._shard = qdrant.EdgeShard.create(str(path), _config(dim))
        self._unflushed = 0
        self._index_payload(settings)

    def lookup(self, lookups: Sequence[Lookup]) -> list[list[Found]]:
        """See `Backend.lookup`."""
        batch = qdrant.QueryBatchRequest([_request(each) for each in lookups])
        with _translated():
            found = self._shard.query_batch(batch)
        return [[Found(str(each.id), each.score, each.payload or {}) for each in group] for group in found]

    def insert(self, points: Sequence[Point]) -> None:
        """See `Backend.insert`."""
        operation = qdrant.UpdateOperation.upsert_points(
            [_point(each) for each in points], update_mode=qdrant.UpdateMode.InsertOnly
        )
        with _translated():
            self._shard.update(operation)
            self._unflushed += len(points)
            if self._unflushed >= FLUSH_EVERY:
                self._unflushed = 0
                self._shard.flush()

    def apply(self, changes: Sequence[Change]) -> None:
        """See `Backend.apply`."""
        for change in changes:
            with _translated():
                self._shard.update(_operation(change))

    def scroll(self, where: Where, fields: tuple[str, ...] = (), *, dense: bool = False) -> Iterator[Found]:
        """See `Backend.scroll`."""
        offset: Any = None
        while True:
            request = qdrant.ScrollRequest(
                offset=offset,
                limit=PAGE,
                filter=render(where, _DIALECT),
                with_payload=list(fields) or False,
                with_vector=[DENSE] if dense else False,
            )
            with _translated():
                records, offset = self._shard.scroll(request)
            for each in records:
                vectors: Any = each.vector
                yield Found(str(each.id), 0.0, each.payload or {}, vectors[DENSE] if dense else None)
            if offset is None:
                return

    def count(self, where: Where) -> int:
        """See `Backend.count`."""
        with _translated():
            return self._shard.count(qdrant.CountRequest(exact=True, filter=render(where, _DIALECT)))

    def compact(self) -> None:
        """See `Backend.compact`. Holds the GIL: nothing else runs in this process meanwhile."""
        with _translated():
            self._shard.flush()
            self._shard.optimize()

    def close(self) -> None:
        """See `Backend.close`."""
        with _translated():
            self._shard.flush()
            self._shard.close()

    def _index_payload(self, settings: IndexSettings) -> None:
        keyword = qdrant.PayloadSchemaType.Keyword
        wanted: dict[str, Any] = {
            payload.SCOPE: qdrant.KeywordIndexParams(is_tenant=True),
            payload.TENANT: keyword,
            payload.DOCUMENT: keyword,
            payload.LEVEL: keyword,
            payload.SECTION: keyword,
            payload.LABELS: keyword,
            payload.REVISION: qdrant.PayloadSchemaType.Integer,
        }
        wanted |= {metadata_key(name): _METADATA_TYPES[kind] for name, kind in settings.metadata_fields.items()}
        present = self._shard.info().payload_schema
        for key, schema in wanted.items():
            if key not in present:
                self._shard.update(qdrant.UpdateOperation.create_field_index(key, schema))


class EmbeddedStore(HybridStore):
    """A `Store` in this process, on a folder that one process holds at a time.

    Args:
        directory: Folder of all embedded collections; made when missing.
        settings: The index section.
        schema: What the collection must have been built with.
    """

    def __init__(self, directory: Path, settings: IndexSettings, schema: Schema) -> None:
        super().__init__(settings, schema)
        self._folder = CollectionFolder(directory, settings.collection)
        self._build = ""

    def open(self, *, any_schema: bool = False) -> Self:
        """See `Store.open`. With `any_schema`, unfinished reindexes stay on disk."""
        if self._backend is not None:
            return self
        self._folder.lock()
        try:
            build = self._folder.live()
            if build is None:
                build = self._folder.create(self._schema)
                self._folder.point_to(build)
            if any_schema:
                self._schema = self._folder.schema(build)
            require_same(self._folder.schema(build), self._schema, self._settings.collection)
            self._attach(build)
            if not any_schema:
                self._folder.remove_others(build)
        except BaseException:
            self.close()
            raise
        return self

    def close(self) -> None:
        """See `Store.close`."""
        super().close()
        self._folder.unlock()

    def info(self) -> StoreInfo:
        """See `Store.info`."""
        return self._info("embedded", {"path": str(self._folder.shard(self._build))})

    @property
    def build(self) -> str:
        """See `Store.build`."""
        return self._build

    def refresh(self) -> None:
        """See `Store.refresh`. Does nothing: no other process can swap."""

    def drop_leftovers(self) -> int:
        """See `Store.drop_leftovers`."""
        return self._folder.remove_others(self._build)

    def shadow(self, schema: Schema, *, resume: str | None = None) -> Store:
        """See `Store.shadow`. Gone when the index is opened for work before it was swapped in."""
        found = resume if resume and self._folder.resumable(resume, schema) else None
        build = found or self._folder.create(schema)
        self._folder.remove_others(self._build, build)
        return _Shadow(self._folder, self._settings, schema, build)

    def swap(self, shadow: Store) -> None:
        """See `Store.swap`. The shadow is closed by it."""
        if not isinstance(shadow, _Shadow) or shadow._folder is not self._folder:
            raise InvalidRequestError("only a shadow of this very index can take its place")
        shadow.close()
        old = self._folder.shard(self._build)
        with self._gate.writing():
            replacement = EdgeBackend(self._folder.shard(shadow._build), self._settings, shadow._schema.dim)
            try:
                self._folder.point_to(shadow._build)
            except OSError as error:
                replacement.close()
                raise IndexUnavailableError(f"the new index cannot be made live: {error.strerror}") from error
            previous, self._backend = self._open, replacement
            self._build, self._schema = shadow._build, shadow._schema
            previous.close()
        shutil.rmtree(old.parent, ignore_errors=True)

    def _attach(self, build: str) -> None:
        self._build = build
        self._backend = EdgeBackend(self._folder.shard(build), self._settings, self._schema.dim)


class _Shadow(EmbeddedStore):
    """A build beside the live one, under the live one's lock."""

    def __init__(self, folder: CollectionFolder, settings: IndexSettings, schema: Schema, build: str) -> None:
        HybridStore.__init__(self, settings, schema)
        self._folder = folder
        self._attach(build)

    def open(self, *, any_schema: bool = False) -> Self:
        """Open from the start; does nothing."""
        return self

    def close(self) -> None:
        """See `Store.close`. The lock stays with the live index."""
        HybridStore.close(self)


@contextmanager
def _translated(what: str = "the embedded index failed") -> Iterator[None]:
    """Turns the engine's exceptions into ours: it raises plain `Exception` for all, a full disk or a damaged file."""
    try:
        yield
    except Exception as error:
        if type(error) is not Exception:
            raise
        raise IndexUnavailableError(f"{what}: {error}") from error


def _operation(change: Change) -> qdrant.UpdateOperation:
    where = render(change.where, _DIALECT)
    if isinstance(change, Delete):
        return qdrant.UpdateOperation.delete_points_by_filter(where)
    return qdrant.UpdateOperation.set_payload_by_filter(where, change.fields)


def _config(dim: int) -> qdrant.EdgeConfig:
    terms = qdrant.EdgeSparseVectorParams(modifier=qdrant.Modifier.Idf)
    return qdrant.EdgeConfig(
        vectors={DENSE: qdrant.EdgeVectorParams(size=dim, distance=qdrant.Distance.Dot)},
        sparse_vectors={BM25: terms, HEADINGS: terms},
        hnsw_config=qdrant.HnswIndexConfig(m=HNSW_M, ef_construct=HNSW_EF_CONSTRUCT, full_scan_threshold=FULL_SCAN_KIB),
        optimizers=qdrant.EdgeOptimizersConfig(indexing_threshold=FULL_SCAN_KIB),
        wal_enabled=True,  # without it there is no lock, and of 1,000 points none survived a kill
    )


def _sparse(sparse: Sparse) -> qdrant.SparseVector:
    return qdrant.SparseVector(sparse.indices, sparse.values)


def _point(point: Point) -> qdrant.Point:
    return qdrant.Point(point.id, {DENSE: point.dense, point.terms: _sparse(point.sparse)}, point.payload)


def _request(lookup: Lookup) -> qdrant.QueryRequest:
    vector = _sparse(lookup.vector) if isinstance(lookup.vector, Sparse) else lookup.vector
    return qdrant.QueryRequest(
        limit=lookup.limit,
        query=None if vector is None else qdrant.Query.Nearest(vector, using=lookup.using),
        filter=render(lookup.where, _DIALECT),
        with_payload=list(lookup.fields) or False,
    )
