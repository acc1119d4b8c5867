"""One collection of a Qdrant server."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any, TypeVar
from uuid import uuid4

from qdrant_client import models
from qdrant_client.http.exceptions import UnexpectedResponse

from pipelines.core.errors import IndexMismatchError
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
from pipelines.core.store.base import Schema
from pipelines.core.store.bm25 import Sparse
from pipelines.core.store.filters import Dialect, Where, metadata_key, render
from pipelines.core.store.server_calls import CollectionGoneError, ServerCalls, ServerFailedError

T = TypeVar("T")

_SCHEMA_KEY = "strata"
_BUILD_KEY = "strata_build"
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


class ServerBackend:
    """A `Backend` on one collection of a server.

    Attributes:
        build: The collection's name.
        identity: Its name and what `create` drew; known after `describe`. A name may be used again, an identity is not.
        gone: Whether a call found that the collection is no longer there.
    """

    def __init__(self, calls: ServerCalls, build: str) -> None:
        self._calls, self._client = calls, calls.client
        self.build = build
        self.identity = build
        self.gone = False

    def lookup(self, lookups: Sequence[Lookup]) -> list[list[Found]]:
        """See `Backend.lookup`."""
        requests = [_request(each) for each in lookups]
        responses = self._call(lambda: self._client.query_batch_points(self.build, requests))
        return [[Found(str(each.id), each.score, each.payload or {}) for each in group.points] for group in responses]

    def insert(self, points: Sequence[Point]) -> None:
        """See `Backend.insert`."""
        structs = [_point(each) for each in points]
        mode = models.UpdateMode.INSERT_ONLY
        self._call(lambda: _applied(self._client.upsert(self.build, structs, wait=True, update_mode=mode)))

    def apply(self, changes: Sequence[Change]) -> None:
        """See `Backend.apply`. One request; a reader may see the state between two of its changes."""
        operations = [_operation(each) for each in changes]
        self._call(lambda: _applied(*self._client.batch_update_points(self.build, operations, wait=True)))

    def scroll(self, where: Where, fields: tuple[str, ...] = (), *, dense: bool = False) -> Iterator[Found]:
        """See `Backend.scroll`."""
        offset: Any = None
        while True:
            records, offset = self._call(partial(self._page, where, fields, dense, offset))
            for each in records:
                vectors: Any = each.vector
                yield Found(str(each.id), 0.0, each.payload or {}, vectors[DENSE] if dense else None)
            if offset is None:
                return

    def count(self, where: Where) -> int:
        """See `Backend.count`."""
        matching = render(where, _DIALECT)
        return self._call(lambda: self._client.count(self.build, count_filter=matching, exact=True)).count

    def compact(self) -> None:
        """Does nothing: a server optimises by itself."""

    def close(self) -> None:
        """Does nothing: the connections belong to the store."""

    def describe(self) -> Schema:
        """What the collection was built with.

        Raises:
            IndexMismatchError: it says nothing that this Strata understands.
        """
        metadata = self._call(lambda: self._client.get_collection(self.build)).config.metadata or {}
        try:
            schema = Schema(**metadata[_SCHEMA_KEY])
        except (KeyError, TypeError) as error:
            raise IndexMismatchError(f"collection {self.build!r} was not made by this version of Strata") from error
        self.identity = f"{self.build}/{metadata.get(_BUILD_KEY, '')}"
        return schema

    def create(self, schema: Schema) -> None:
        """Makes the collection, unless it is there."""
        if self._call(lambda: self._client.collection_exists(self.build)):
            return
        self._call(lambda: self._create(schema))

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
        present = self._call(lambda: self._client.get_collection(self.build)).payload_schema
        for key, schema in wanted.items():
            if key not in present:
                self._call(partial(self._index, key, schema))

    def _page(self, where: Where, fields: tuple[str, ...], dense: bool, after: Any) -> tuple[list[models.Record], Any]:
        return self._client.scroll(
            self.build,
            scroll_filter=render(where, _DIALECT),
            limit=PAGE,
            offset=after,
            with_payload=list(fields) or False,
            with_vectors=[DENSE] if dense else False,
        )

    def _create(self, schema: Schema) -> None:
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
                metadata={_SCHEMA_KEY: asdict(schema), _BUILD_KEY: uuid4().hex},
            )
        except UnexpectedResponse as error:
            if error.status_code != 409:  # made since we looked, by another process or by a try whose answer was lost
                raise

    def _index(self, key: str, schema: Any) -> None:
        self._client.create_payload_index(self.build, key, field_schema=schema, wait=True)

    def _call(self, call: Callable[[], T]) -> T:
        try:
            return self._calls(self.build, call)
        except CollectionGoneError:
            self.gone = True
            raise


def _applied(*results: models.UpdateResult) -> None:
    """Passes when updates were made, not only accepted: what follows reads them."""
    if any(each.status is not models.UpdateStatus.COMPLETED for each in results):
        raise ServerFailedError("the Qdrant server did not apply a change in time")


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
