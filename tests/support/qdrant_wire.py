"""Between the JSON of Qdrant's REST interface and the objects of qdrant-edge, for `tests.support.qdrant_server`."""

from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

import qdrant_edge as edge

Json = dict[str, Any]

DISTANCES = {
    "Cosine": edge.Distance.Cosine,
    "Dot": edge.Distance.Dot,
    "Euclid": edge.Distance.Euclid,
    "Manhattan": edge.Distance.Manhattan,
}
INDEXES = {
    "keyword": edge.PayloadSchemaType.Keyword,
    "integer": edge.PayloadSchemaType.Integer,
    "float": edge.PayloadSchemaType.Float,
    "bool": edge.PayloadSchemaType.Bool,
}
MODES = {
    "upsert": edge.UpdateMode.Upsert,
    "insert_only": edge.UpdateMode.InsertOnly,
    "update_only": edge.UpdateMode.UpdateOnly,
}


class WireError(ValueError):
    """A request that the server would refuse, or that this stand-in does not know."""


def take(body: Mapping[str, Any], *known: str) -> list[Any]:
    """The values of the known keys. A key that nobody reads is refused: ignoring it would be a wrong answer."""
    if unknown := set(body) - set(known):
        raise WireError(f"unknown fields: {', '.join(sorted(unknown))}")
    return [body.get(key) for key in known]


def config(body: Json) -> edge.EdgeConfig:
    """The shard of a `CreateCollection`."""
    vectors, sparse, hnsw, optimizers, _ = take(
        body, "vectors", "sparse_vectors", "hnsw_config", "optimizers_config", "metadata"
    )
    return edge.EdgeConfig(
        vectors={
            name: edge.EdgeVectorParams(size=each["size"], distance=DISTANCES[each["distance"]])
            for name, each in vectors.items()
        },
        sparse_vectors={
            name: edge.EdgeSparseVectorParams(modifier=edge.Modifier.Idf if each.get("modifier") == "idf" else None)
            for name, each in (sparse or {}).items()
        },
        hnsw_config=edge.HnswIndexConfig(
            m=hnsw["m"], ef_construct=hnsw["ef_construct"], full_scan_threshold=hnsw["full_scan_threshold"]
        ),
        optimizers=edge.EdgeOptimizersConfig(indexing_threshold=optimizers["indexing_threshold"]),
        wal_enabled=True,
    )


def field_index(schema: str | Json) -> Any:
    """A payload index."""
    if isinstance(schema, str):
        return INDEXES[schema]
    kind, is_tenant = take(schema, "type", "is_tenant")
    return edge.KeywordIndexParams(is_tenant=is_tenant) if kind == "keyword" else INDEXES[kind]


def point_id(value: Any) -> Any:
    """A point's id: a number, or a UUID."""
    if isinstance(value, str):
        UUID(value)
        return value
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise WireError(f"value {value} is not a valid point ID")
    return value


def upsert(body: Json) -> edge.UpdateOperation:
    """A `PointsList`."""
    points, mode = take(body, "points", "update_mode")
    structs = [
        edge.Point(
            point_id(each["id"]),
            {name: _vector(vector) for name, vector in each["vector"].items()},
            each.get("payload") or {},
        )
        for each in points
    ]
    return edge.UpdateOperation.upsert_points(structs, update_mode=MODES[mode or "upsert"])


def operation(body: Json) -> edge.UpdateOperation:
    """One operation of a batch."""
    ((kind, what),) = body.items()
    if kind == "upsert":
        return upsert(what)
    if kind == "delete":
        return delete(what)
    if kind == "set_payload":
        payload, where, ids = take(what, "payload", "filter", "points")
        if where is None:
            return edge.UpdateOperation.set_payload([point_id(each) for each in ids], payload)
        return edge.UpdateOperation.set_payload_by_filter(filter_of(where), payload)
    raise WireError(f"unknown operation {kind}")


def delete(body: Json) -> edge.UpdateOperation:
    """A `PointsSelector`."""
    where, ids = take(body, "filter", "points")
    if where is None:
        return edge.UpdateOperation.delete_points([point_id(each) for each in ids])
    return edge.UpdateOperation.delete_points_by_filter(filter_of(where))


def query(body: Json) -> edge.QueryRequest:
    """A `QueryRequest`: the nearest to a vector, or with none whatever matches."""
    asked, using, where, limit, payload, vector = take(
        body, "query", "using", "filter", "limit", "with_payload", "with_vector"
    )
    if isinstance(asked, dict) and "nearest" in asked:
        (asked,) = take(asked, "nearest")
    return edge.QueryRequest(
        limit=10 if limit is None else limit,
        query=None if asked is None else edge.Query.Nearest(_vector(asked), using=using),
        filter=optional_filter(where),
        with_payload=payload or False,
        with_vector=vector or False,
    )


def scroll(body: Json) -> edge.ScrollRequest:
    """A `ScrollRequest`."""
    offset, limit, where, payload, vector = take(body, "offset", "limit", "filter", "with_payload", "with_vector")
    return edge.ScrollRequest(
        offset=None if offset is None else point_id(offset),
        limit=10 if limit is None else limit,
        filter=optional_filter(where),
        with_payload=True if payload is None else payload,
        with_vector=vector or False,
    )


def count(body: Json) -> edge.CountRequest:
    """A `CountRequest`."""
    where, exact = take(body, "filter", "exact")
    return edge.CountRequest(exact=exact is not False, filter=optional_filter(where))


def optional_filter(body: Json | None) -> edge.Filter | None:
    """A filter where there is one."""
    return None if body is None else filter_of(body)


def filter_of(body: Json) -> edge.Filter:
    """A `Filter`."""
    must, should, must_not = take(body, "must", "should", "must_not")
    return edge.Filter(must=_conditions(must), should=_conditions(should), must_not=_conditions(must_not))


def scored(point: edge.ScoredPoint) -> Json:
    """A `ScoredPoint`."""
    return {"id": _id(point.id), "version": point.version, "score": point.score, **_contents(point)}


def record(point: edge.Record) -> Json:
    """A `Record`."""
    return {"id": _id(point.id), **_contents(point)}


def _conditions(body: Any) -> list[Any] | None:
    if body is None:
        return None
    return [_condition(each) for each in (body if isinstance(body, list) else [body])]


def _condition(body: Json) -> Any:
    if "key" in body:
        key, match, bounds = take(body, "key", "match", "range")
        return edge.FieldCondition(
            key=key,
            match=None if match is None else _match(match),
            range=None if bounds is None else edge.RangeFloat(**bounds),
        )
    if "has_id" in body:
        return edge.HasIdCondition(point_ids={point_id(each) for each in take(body, "has_id")[0]})
    if "is_empty" in body:
        return edge.IsEmptyCondition(body["is_empty"]["key"])
    if "is_null" in body:
        return edge.IsNullCondition(body["is_null"]["key"])
    return filter_of(body)


def _match(body: Json) -> Any:
    makers: dict[str, Callable[[Any], Any]] = {
        "value": lambda value: edge.MatchValue(value=value),
        "any": lambda values: edge.MatchAny(any=values),
        "except": edge.MatchExcept,
    }
    ((kind, value),) = body.items()
    if kind not in makers:
        raise WireError(f"unknown match {kind}")
    return makers[kind](value)


def _vector(value: Any) -> Any:
    return edge.SparseVector(*take(value, "indices", "values")) if isinstance(value, dict) else value


def _contents(point: Any) -> Json:
    contents: Json = {"payload": point.payload}
    if point.vector:
        contents["vector"] = {
            name: {"indices": each.indices, "values": each.values} if isinstance(each, edge.SparseVector) else each
            for name, each in point.vector.items()
        }
    return contents


def _id(value: Any) -> Any:
    return value if isinstance(value, int) else str(value)
