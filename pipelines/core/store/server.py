"""The index on a Qdrant server (1.17 or newer) or cluster.

Collections are named `<collection>-<build>`; the alias `<collection>` points to the live one. A store works on the
build that it resolved when it opened, so that both round trips of a search see one collection, and resolves again when
that build is gone. The schema is kept in the collection's metadata.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict
from typing import Any, Self
from uuid import uuid4

from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import ApiException, UnexpectedResponse

from pipelines.core.errors import (
    ConfigurationError,
    IndexMismatchError,
    IndexUnavailableError,
    InvalidRequestError,
    StrataError,
)
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
from pipelines.core.store.base import Fusion, RankedQuery, Schema, Store, StoreInfo
from pipelines.core.store.bm25 import Sparse
from pipelines.core.store.checks import require_same
from pipelines.core.store.filters import Dialect, Where, metadata_key, render
from pipelines.core.store.hybrid import HybridStore
from pipelines.core.types import Filter, Hit

FIRST_BUILD = "first"
"""The first build has a fixed name, so that processes that start together on an empty server make one, not several."""

_METADATA_KEY = "strata"
_DIALECT = Dialect(
    filter=models.Filter,
    field=models.FieldCondition,
    match_value=models.MatchValue,
    match_any=models.MatchAny,
    range=models.Range,
    has_id=lambda ids: models.HasIdCondition(has_id=ids),
)
_METADATA_TYPES = {
    "keyword": models.PayloadSchemaType.KEYWORD,
    "integer": models.PayloadSchemaType.INTEGER,
    "float": models.PayloadSchemaType.FLOAT,
}


class CollectionGoneError(IndexUnavailableError):
    """The build was dropped: another process swapped in a new one."""


class ServerBackend:
    """A `Backend` on one collection of a server.

    Attributes:
        build: The collection's name.
        gone: Whether a call found that the collection is no longer there.
    """

    def __init__(self, client: QdrantClient, build: str) -> None:
        self._client = client
        self.build = build
        self.gone = False

    def lookup(self, lookups: Sequence[Lookup]) -> list[list[Found]]:
        """See `Backend.lookup`."""
        with self._calling():
            responses = self._client.query_batch_points(self.build, [_request(each) for each in lookups])
        return [[Found(str(each.id), each.score, each.payload or {}) for each in group.points] for group in responses]

    def insert(self, points: Sequence[Point]) -> None:
        """See `Backend.insert`."""
        structs = [_point(each) for each in points]
        with self._calling():
            self._client.upsert(self.build, structs, wait=True, update_mode=models.UpdateMode.INSERT_ONLY)

    def apply(self, changes: Sequence[Change]) -> None:
        """See `Backend.apply`. One request; a reader may see the state between two of its changes."""
        with self._calling():
            self._client.batch_update_points(self.build, [_operation(each) for each in changes], wait=True)

    def scroll(self, where: Where, fields: tuple[str, ...] = (), *, dense: bool = False) -> Iterator[Found]:
        """See `Backend.scroll`."""
        offset: Any = None
        while True:
            with self._calling():
                records, offset = self._client.scroll(
                    self.build,
                    scroll_filter=render(where, _DIALECT),
                    limit=PAGE,
                    offset=offset,
                    with_payload=list(fields) or False,
                    with_vectors=[DENSE] if dense else False,
                )
            for each in records:
                vectors: Any = each.vector
                yield Found(str(each.id), 0.0, each.payload or {}, vectors[DENSE] if dense else None)
            if offset is None:
                return

    def count(self, where: Where) -> int:
        """See `Backend.count`."""
        with self._calling():
            return self._client.count(self.build, count_filter=render(where, _DIALECT), exact=True).count

    def compact(self) -> None:
        """Does nothing: a server optimises by itself."""

    def close(self) -> None:
        """Does nothing: the client belongs to the store."""

    def schema(self) -> Schema:
        """What the collection was built with.

        Raises:
            IndexMismatchError: it says nothing that this Strata understands.
        """
        with self._calling():
            metadata = self._client.get_collection(self.build).config.metadata or {}
        try:
            return Schema(**metadata[_METADATA_KEY])
        except (KeyError, TypeError) as error:
            raise IndexMismatchError(f"collection {self.build!r} was not made by this version of Strata") from error

    def create(self, schema: Schema) -> None:
        """Makes the collection, unless it is there."""
        with self._calling():
            if self._client.collection_exists(self.build):
                return
            terms = models.SparseVectorParams(modifier=models.Modifier.IDF)
            try:
                self._client.create_collection(
                    self.build,
                    vectors_config={DENSE: models.VectorParams(size=schema.dim, distance=models.Distance.DOT)},
                    sparse_vectors_config={BM25: terms, HEADINGS: terms},
                    hnsw_config=models.HnswConfigDiff(
                        m=HNSW_M, ef_construct=HNSW_EF_CONSTRUCT, full_scan_threshold=FULL_SCAN_KIB
                    ),
                    optimizers_config=models.OptimizersConfigDiff(indexing_threshold=FULL_SCAN_KIB),
                    metadata={_METADATA_KEY: asdict(schema)},
                )
            except UnexpectedResponse as error:
                if error.status_code != 409:  # made by another process since we looked
                    raise

    def index_payload(self, settings: IndexSettings) -> None:
        """Makes the payload indexes that are missing."""
        keyword = models.PayloadSchemaType.KEYWORD
        wanted: dict[str, Any] = {
            payload.SCOPE: models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, is_tenant=True),
            payload.TENANT: keyword,
            payload.DOCUMENT: keyword,
            payload.LEVEL: keyword,
            payload.SECTION: keyword,
            payload.LABELS: keyword,
            payload.REVISION: models.PayloadSchemaType.INTEGER,
        }
        wanted |= {metadata_key(name): _METADATA_TYPES[kind] for name, kind in settings.metadata_fields.items()}
        with self._calling():
            present = self._client.get_collection(self.build).payload_schema
            for key, schema in wanted.items():
                if key not in present:
                    self._client.create_payload_index(self.build, key, field_schema=schema, wait=True)

    @contextmanager
    def _calling(self) -> Iterator[None]:
        try:
            with _translated(self.build):
                yield
        except CollectionGoneError:
            self.gone = True
            raise


class ServerStore(HybridStore):
    """A `Store` on a Qdrant server. Any number of processes may share one.

    Args:
        client: Synchronous client; not closed by the store unless `connect` made it.
        settings: The index section.
        schema: What the collection must have been built with.
    """

    _backend: ServerBackend | None

    def __init__(self, client: QdrantClient, settings: IndexSettings, schema: Schema) -> None:
        super().__init__(settings, schema)
        self._client = client
        self._owns_client = False

    @classmethod
    def connect(cls, settings: IndexSettings, schema: Schema) -> Self:
        """A store with a client of its own, from `url`, `api_key` and `timeout_s`. Opens no connection yet."""
        key = settings.api_key.get_secret_value() if settings.api_key else None
        client = QdrantClient(
            url=settings.url, api_key=key, timeout=math.ceil(settings.timeout_s), check_compatibility=False
        )
        store = cls(client, settings, schema)
        store._owns_client = True
        return store

    def open(self) -> Self:
        """See `Store.open`."""
        if self._backend is None:
            self._backend = self._resolve()
        return self

    def close(self) -> None:
        """See `Store.close`."""
        super().close()
        if self._owns_client:
            self._client.close()

    def search(
        self, queries: Sequence[RankedQuery], *, limit: int, fusion: Fusion, filter: Filter | None = None
    ) -> list[Hit]:
        """See `Store.search`. Goes on with the new collection when another process swapped it in meanwhile."""
        try:
            return super().search(queries, limit=limit, fusion=fusion, filter=filter)
        except CollectionGoneError:
            return super().search(queries, limit=limit, fusion=fusion, filter=filter)

    def info(self) -> StoreInfo:
        """See `Store.info`."""
        return self._info("server", {"url": self._settings.url or "", "build": self._open.build})

    def shadow(self, schema: Schema) -> Store:
        """See `Store.shadow`. One that is never swapped in stays on the server until an operator drops it."""
        shadow = _Shadow(self._client, self._settings, schema)
        shadow._backend = self._create(uuid4().hex[:12], schema)
        return shadow

    def swap(self, shadow: Store) -> None:
        """See `Store.swap`."""
        if not isinstance(shadow, _Shadow) or shadow._client is not self._client:
            raise InvalidRequestError("only a shadow of this very index can take its place")
        with self._gate.writing():
            old, new = self._open, shadow._open
            self._point_alias_to(new.build)
            self._backend, self._schema = new, shadow._schema
            shadow._backend = None
        with _translated(old.build):
            self._client.delete_collection(old.build)

    @property
    def _open(self) -> ServerBackend:
        backend = self._backend
        if backend is None:
            raise IndexUnavailableError("the index is closed")
        if backend.gone:
            backend = self._backend = self._resolve()
        return backend

    def _replacing(self) -> AbstractContextManager[None]:
        """Nothing: other processes search too, and a slow server must not hold up the searches of this one."""
        return nullcontext()

    def _resolve(self) -> ServerBackend:
        name = self._settings.collection
        with _translated(name):
            aliases = {each.alias_name: each.collection_name for each in self._client.get_aliases().aliases}
        if name in aliases:
            backend = ServerBackend(self._client, aliases[name])
            require_same(backend.schema(), self._schema, name)
            backend.index_payload(self._settings)
            return backend
        backend = self._create(FIRST_BUILD, self._schema)
        require_same(backend.schema(), self._schema, name)
        self._point_alias_to(backend.build)
        return backend

    def _create(self, build: str, schema: Schema) -> ServerBackend:
        backend = ServerBackend(self._client, f"{self._settings.collection}-{build}")
        backend.create(schema)
        backend.index_payload(self._settings)
        return backend

    def _point_alias_to(self, build: str) -> None:
        alias = models.CreateAlias(collection_name=build, alias_name=self._settings.collection)
        with _translated(build):
            self._client.update_collection_aliases([models.CreateAliasOperation(create_alias=alias)])


class _Shadow(ServerStore):
    """A collection beside the live one, without the alias."""

    def open(self) -> Self:
        """Open from the start; does nothing."""
        return self


@contextmanager
def _translated(collection: str) -> Iterator[None]:
    """Turns the client's exceptions into ours."""
    try:
        yield
    except UnexpectedResponse as error:
        raise _of_response(error, collection) from error
    except ApiException as error:
        raise IndexUnavailableError(f"the Qdrant server cannot be reached: {error}") from error
    except ValueError as error:  # local mode has no statuses
        if "not found" not in str(error):
            raise
        raise CollectionGoneError(f"collection {collection!r} is gone") from error


def _of_response(error: UnexpectedResponse, collection: str) -> StrataError:
    status = error.status_code or 500
    if status == 404:
        return CollectionGoneError(f"collection {collection!r} is gone")
    if status in (401, 403):
        return ConfigurationError("the Qdrant server refused the key: check index.api_key")
    if status == 429 or status >= 500:
        return IndexUnavailableError(f"the Qdrant server failed with status {status}")
    return InvalidRequestError(f"the Qdrant server refused a request on {collection!r}: {error}")


def _sparse(sparse: Sparse) -> models.SparseVector:
    return models.SparseVector(indices=sparse.indices, values=sparse.values)


def _point(point: Point) -> models.PointStruct:
    return models.PointStruct(
        id=point.id, vector={DENSE: point.dense, point.terms: _sparse(point.sparse)}, payload=point.payload
    )


def _request(lookup: Lookup) -> models.QueryRequest:
    vector = _sparse(lookup.vector) if isinstance(lookup.vector, Sparse) else lookup.vector
    return models.QueryRequest(
        query=vector,
        using=None if vector is None else lookup.using,
        filter=render(lookup.where, _DIALECT),
        limit=lookup.limit,
        with_payload=list(lookup.fields) or False,
    )


def _operation(change: Change) -> models.UpdateOperation:
    where = render(change.where, _DIALECT)
    if isinstance(change, Delete):
        return models.DeleteOperation(delete=models.FilterSelector(filter=where))
    return models.SetPayloadOperation(set_payload=models.SetPayload(payload=change.fields, filter=where))
