"""The index as an algorithm: written once, over the few operations of a `Backend`.

How a replacement stays whole for readers: staged points lack `scope`, which every search requires. `publish` gives the
new version its scope and a higher revision, and deletes what is older after. In process a gate keeps searches out
meanwhile. On a server a search may fall between the two steps: it sees two revisions of a document, or points go
between its round trips, and it searches again. In the end it answers all the same, with the newer revision, and without
what went. Where a process was killed between the steps, both revisions stay until the document is published again.

How late writers are kept off: revisions are times, drawn before anything else is read, and a publication deletes only
what has a lower one. Who stalls in the middle of a publication, and goes on after somebody else published a newer
version, finds nothing of their own left to show, and deletes nothing. A deletion leaves what was published since it
began.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Self

import numpy as np

from pipelines.core.errors import ConflictError, IndexUnavailableError, InvalidRequestError, NotFoundError
from pipelines.core.settings import IndexSettings
from pipelines.core.store import fusion as rrf
from pipelines.core.store import payload, sections
from pipelines.core.store.backend import (
    BM25,
    DENSE,
    HEADINGS,
    PAGE,
    Backend,
    Delete,
    Found,
    Lookup,
    Point,
    SetPayload,
    VectorName,
)
from pipelines.core.store.base import DocumentVersion, EmbeddedPassage, Fusion, RankedQuery, Schema, Store, StoreInfo
from pipelines.core.store.bm25 import Bm25
from pipelines.core.store.filters import Between, Ids, Match, Where, visible
from pipelines.core.store.gate import Gate
from pipelines.core.types import Filter, Hit, Passage, Range

DESCENT_DEPTH = 20
"""Passages that each ranking inside the best sections contributes. Not `limit`: scores must not depend on it."""
SEARCH_ATTEMPTS = 4
"""Searches while documents that it finds are being replaced."""
SEARCH_WAIT_S = 0.01
"""Wait before the second one, which grows; a publication takes a server some milliseconds."""

_PASSAGES = Match(payload.LEVEL, (payload.PASSAGE_LEVEL,))
_SECTIONS = Match(payload.LEVEL, (payload.SECTION_LEVEL,))
_PUBLISHED = Between(payload.REVISION, Range(gte=1))
_HIT_FIELDS = (payload.BODY, payload.REVISION)

Weighted = tuple[float, Lookup]


class HybridStore(ABC):
    """`pipelines.core.store.base.Store`, but for where a collection lives."""

    def __init__(self, settings: IndexSettings, schema: Schema) -> None:
        self._settings = settings
        self._schema = schema
        self._bm25 = Bm25(settings.bm25_average_words)
        self._gate = Gate()
        self._backend: Backend | None = None

    @abstractmethod
    def open(self, *, any_schema: bool = False) -> Self:
        """See `Store.open`."""

    @property
    @abstractmethod
    def build(self) -> str:
        """See `Store.build`."""

    @abstractmethod
    def refresh(self) -> None:
        """See `Store.refresh`."""

    @abstractmethod
    def drop_leftovers(self) -> int:
        """See `Store.drop_leftovers`."""

    @abstractmethod
    def shadow(self, schema: Schema, *, resume: str | None = None) -> Store:
        """See `Store.shadow`."""

    @abstractmethod
    def swap(self, shadow: Store) -> None:
        """See `Store.swap`."""

    def close(self) -> None:
        """See `Store.close`."""
        with self._gate.writing():
            backend, self._backend = self._backend, None
            if backend is not None:
                backend.close()

    # --- Search ------------------------------------------------------------------------------------------------

    def search(
        self, queries: Sequence[RankedQuery], *, limit: int, fusion: Fusion, filter: Filter | None = None
    ) -> list[Hit]:
        """See `Store.search`. Two round trips: all rankings, then the descent with the passages themselves."""
        if limit < 1:
            raise InvalidRequestError(f"limit is {limit}: at least 1 is needed")
        for query in queries:
            self._check_vectors([] if query.vector is None else [query.vector])
        wanted = filter or Filter()
        for attempt in range(SEARCH_ATTEMPTS):
            time.sleep(SEARCH_WAIT_S * attempt)
            with self._gate.reading():
                hits, settled = self._search(queries, limit, fusion, wanted)
            if settled:
                return hits
        if hits:
            return hits
        raise IndexUnavailableError("documents were replaced during every try of this search: try again")

    def _search(
        self, queries: Sequence[RankedQuery], limit: int, fusion: Fusion, filter: Filter
    ) -> tuple[list[Hit], bool]:
        """Hits, and whether no document among them was seen being replaced."""
        within = visible(filter, payload.PASSAGE_LEVEL)
        plan = self._rankings(queries, fusion, Lookup(within, fusion.candidates), BM25)
        over_sections: list[Weighted] = []
        if fusion.section > 0:
            among = visible(filter, payload.SECTION_LEVEL)
            over_sections = self._rankings(queries, fusion, Lookup(among, fusion.candidates), HEADINGS)
        if not plan:
            return [], True
        found = self._open.lookup([lookup for _, lookup in (*plan, *over_sections)])
        scores = rrf.fuse(_ranked(plan, found), fusion.rrf_k)
        best_sections = rrf.best(rrf.fuse(_ranked(over_sections, found[len(plan) :]), fusion.rrf_k), fusion.sections)
        wanted = rrf.best(scores, limit)
        descent = self._descent(queries, fusion, within, best_sections)
        if not wanted and not descent:
            return [], True
        direct, *inside = self._open.lookup([_by_ids(within, wanted), *(lookup for _, lookup in descent)])
        if descent:
            order = rrf.best(rrf.fuse(_ranked(descent, inside), fusion.rrf_k), len(descent) * DESCENT_DEPTH)
            for each, vote in rrf.fuse([(fusion.section, order)], fusion.rrf_k).items():
                scores[each] = scores.get(each, 0.0) + vote
        records = {each.id: each for group in (direct, *inside) for each in group}
        order = rrf.best({each: scores[each] for each in records}, limit)
        hits = _newest([records[each] for each in order], scores, filter)
        return hits, len(direct) == len(wanted) and len(hits) == len(order)

    def _rankings(
        self, queries: Sequence[RankedQuery], fusion: Fusion, lookup: Lookup, terms: VectorName
    ) -> list[Weighted]:
        """A dense and a BM25 ranking for each query, those left out that have no vote or no terms."""
        rankings: list[Weighted] = []
        for query in queries:
            if query.vector is not None and (weight := fusion.dense * query.weight) > 0:
                rankings.append((weight, replace(lookup, using=DENSE, vector=query.vector.tolist())))
            if (weight := fusion.bm25 * query.weight) > 0 and (sparse := self._bm25.query(query.text)):
                rankings.append((weight, replace(lookup, using=terms, vector=sparse)))
        return rankings

    def _descent(
        self, queries: Sequence[RankedQuery], fusion: Fusion, within: Where, best_sections: Sequence[str]
    ) -> list[Weighted]:
        if not best_sections:
            return []
        inside = within.also(Match(payload.SECTION, tuple(best_sections)))
        return self._rankings(queries, fusion, Lookup(inside, DESCENT_DEPTH, fields=_HIT_FIELDS), BM25)

    # --- Documents ---------------------------------------------------------------------------------------------

    def write(self, passages: Sequence[EmbeddedPassage]) -> None:
        """See `Store.write`."""
        self._check_vectors([item.vector for item in passages])
        for start in range(0, len(passages), PAGE):
            points = [self._point(item) for item in passages[start : start + PAGE]]
            self._open.insert(points)

    def written(self, version: DocumentVersion) -> frozenset[str]:
        """See `Store.written`."""
        return frozenset(each.id for each in self._open.scroll(_of(version).also(_PASSAGES)))

    def publish(self, version: DocumentVersion, passages: int | None = None) -> int:
        """See `Store.publish`.

        Raises:
            NotFoundError: nothing of this version was written, or less than `passages`; what is published stays.
        """
        mine = _of(version)
        fields = (payload.TENANT, payload.SECTION)
        revision = self._next_revision(version)  # first of all: see the module's docstring
        staged = list(self._open.scroll(mine.also(_PASSAGES), fields))
        if not staged or len(staged) < (passages or 0):
            raise NotFoundError(
                f"of version {version.version} of document {version.document_id}, "
                f"{len(staged)} of {passages or 'its'} passages were written"
            )
        if len({each.payload[payload.SECTION] for each in staged}) > 1:
            self._write_sections(mine)
        with self._replacing():
            for tenant in sorted({each.payload[payload.TENANT] for each in staged}):
                self._show(version, tenant, revision)
        return len(staged)

    def discard(self, version: DocumentVersion) -> None:
        """See `Store.discard`."""
        self._open.apply([Delete(Where(_of(version).must, (_PUBLISHED,)))])

    def published(self, document_id: str) -> tuple[str, int] | None:
        """See `Store.published`."""
        where = Where((Match(payload.DOCUMENT, (document_id,)), _PASSAGES, _PUBLISHED))
        counts: dict[tuple[int, str], int] = {}
        for each in self._open.scroll(where, (payload.VERSION, payload.REVISION)):
            key = (each.payload[payload.REVISION], each.payload[payload.VERSION])
            counts[key] = counts.get(key, 0) + 1
        if not counts:
            return None
        newest = max(counts)
        return newest[1], counts[newest]

    def delete(self, document_id: str, *, tenant: str | None = None) -> int:
        """See `Store.delete`."""
        where = _document(document_id, tenant)
        with self._replacing():
            found = [each.payload for each in self._open.scroll(where.also(_PASSAGES), (payload.REVISION,))]
            newest = max((each.get(payload.REVISION, 0) for each in found), default=0)
            self._open.apply([Delete(Where(where.must, (Between(payload.REVISION, Range(gt=newest)),)))])
        return len(found)

    def passages(self, document_id: str, *, tenant: str | None = None) -> Iterator[Passage]:
        """See `Store.passages`. Reads page by page.

        Raises:
            ConflictError: the document was replaced or deleted while it was read.
        """
        where = _document(document_id, tenant).also(_PASSAGES, _PUBLISHED)
        found = list(self._open.scroll(where, (payload.START, payload.REVISION)))
        newest = max((each.payload[payload.REVISION] for each in found), default=0)
        current = [each for each in found if each.payload[payload.REVISION] == newest]
        order = [each.id for each in sorted(current, key=lambda each: (each.payload[payload.START], each.id))]
        for start in range(0, len(order), PAGE):
            page = order[start : start + PAGE]
            (records,) = self._open.lookup([_by_ids(where, page)])
            bodies = {each.id: each.payload for each in records}
            if len(bodies) < len(page):
                raise ConflictError(f"document {document_id} was replaced while it was read: read it again")
            yield from (payload.decode(bodies[each]) for each in page)

    # --- The collection ----------------------------------------------------------------------------------------

    def compact(self) -> None:
        """See `Store.compact`."""
        self._open.compact()

    def _info(self, mode: str, detail: dict[str, str]) -> StoreInfo:
        return StoreInfo(
            mode=mode,
            collection=self._settings.collection,
            passages=self._open.count(Where((_PASSAGES, _PUBLISHED))),
            sections=self._open.count(Where((_SECTIONS, _PUBLISHED))),
            schema=self._schema,
            detail=detail,
        )

    @property
    def _open(self) -> Backend:
        backend = self._backend
        if backend is None:
            raise IndexUnavailableError("the index is closed")
        return backend

    def _replacing(self) -> AbstractContextManager[None]:
        """What a change of visible points holds meanwhile."""
        return self._gate.writing()

    def _check_vectors(self, vectors: Sequence[np.ndarray]) -> None:
        for vector in vectors:
            if vector.shape != (self._schema.dim,):
                raise InvalidRequestError(f"a vector has shape {vector.shape}, the index ({self._schema.dim},)")
            if not np.isfinite(vector).all():
                raise InvalidRequestError("a vector holds NaN or infinity")

    def _point(self, item: EmbeddedPassage) -> Point:
        return Point(
            id=payload.point_id(item.passage.id),
            dense=item.vector.tolist(),
            payload=payload.encode(item),
            terms=BM25,
            sparse=self._bm25.document(f"{item.passage.context}\n{item.passage.text}"),
        )

    def _write_sections(self, mine: Where) -> None:
        fields = (payload.TENANT, payload.SECTION, payload.BODY)
        points = sections.build(self._open.scroll(mine.also(_PASSAGES), fields, dense=True), self._bm25)
        for start in range(0, len(points), PAGE):
            self._open.insert(points[start : start + PAGE])

    def _next_revision(self, version: DocumentVersion) -> int:
        """The version's own revision when it is the newest already, else the time in ms, but above any other's."""
        where = Where((Match(payload.DOCUMENT, (version.document_id,)), _PUBLISHED))
        own, others = 0, 0
        for each in self._open.scroll(where, (payload.VERSION, payload.REVISION)):
            if each.payload[payload.VERSION] == version.version:
                own = max(own, each.payload[payload.REVISION])
            else:
                others = max(others, each.payload[payload.REVISION])
        return own if own > others else max(others + 1, time.time_ns() // 1_000_000)

    def _show(self, version: DocumentVersion, tenant: str, revision: int) -> None:
        mine = _of(version).also(Match(payload.TENANT, (tenant,)))
        of_document = _document(version.document_id, tenant)
        newer = Between(payload.REVISION, Range(gte=revision))
        older = Where(of_document.must, (Match(payload.VERSION, (version.version,)), newer))
        self._open.apply(
            [
                *(
                    SetPayload(
                        mine.also(Match(payload.LEVEL, (level,))),
                        {payload.SCOPE: payload.scope(level, tenant), payload.REVISION: revision},
                    )
                    for level in (payload.PASSAGE_LEVEL, payload.SECTION_LEVEL)
                ),
                Delete(older),
            ]
        )


def _of(version: DocumentVersion) -> Where:
    return Where((Match(payload.DOCUMENT, (version.document_id,)), Match(payload.VERSION, (version.version,))))


def _document(document_id: str, tenant: str | None) -> Where:
    where = Where((Match(payload.DOCUMENT, (document_id,)),))
    return where if tenant is None else where.also(Match(payload.TENANT, (tenant,)))


def _by_ids(within: Where, ids: Sequence[str]) -> Lookup:
    return Lookup(within.also(Ids(tuple(ids))), max(len(ids), 1), fields=_HIT_FIELDS)


def _ranked(plan: Sequence[Weighted], found: Sequence[Sequence[Found]]) -> list[rrf.Ranking]:
    """The rankings as ids, equal scores in the order of ids."""
    return [
        (weight, [each.id for each in sorted(group, key=lambda each: (-each.score, each.id))])
        for (weight, _), group in zip(plan, found, strict=False)
    ]


def _newest(records: Sequence[Found], scores: dict[str, float], filter: Filter) -> list[Hit]:
    """Hits in the given order, without passages of a document's older revision, and without labels of others."""
    passages = [(payload.decode(each.payload, filter.labels), each) for each in records]
    newest: dict[str, int] = {}
    for passage, each in passages:
        revision = each.payload[payload.REVISION]
        newest[passage.document_id] = max(newest.get(passage.document_id, 0), revision)
    return [
        Hit.model_construct(passage=passage, score=scores[each.id])
        for passage, each in passages
        if each.payload[payload.REVISION] == newest[passage.document_id]
    ]
