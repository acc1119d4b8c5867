"""The index on a Qdrant server (1.17 or newer) or cluster.

Collections are named `<collection>-<build>`; the alias `<collection>` points to the live one. A store works on the
build that it resolved when it opened, so that both round trips of a search see one collection, and resolves again when
that build is gone. Schema and identity are kept in the collection's metadata.

A swap for another encoder leaves the old build, because processes with the old configuration still search it; the next
reindex drops it, or `drop_leftovers`. A swap with the same schema drops it at once, and everybody goes on with the new.
"""

import logging
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Self
from uuid import uuid4

from qdrant_client import models

from pipelines.core.errors import IndexMismatchError, IndexUnavailableError, InvalidRequestError
from pipelines.core.settings import IndexSettings
from pipelines.core.store.base import Fusion, RankedQuery, Schema, Store, StoreInfo
from pipelines.core.store.checks import require_same
from pipelines.core.store.hybrid import HybridStore
from pipelines.core.store.server_backend import ServerBackend
from pipelines.core.store.server_calls import CollectionGoneError, ServerCalls
from pipelines.core.types import Filter, Hit

FIRST_BUILD = "first"
"""The first build has a fixed name, so that processes that start together on an empty server make one, not several."""

_BUILD = re.compile(rf"{FIRST_BUILD}|[0-9a-f]{{12}}")

logger = logging.getLogger(__name__)


class ServerStore(HybridStore):
    """A `Store` on a Qdrant server. Any number of processes may share one. Making one opens no connection.

    Args:
        settings: The index section.
        schema: What the collection must have been built with.
        calls: Connections to share; without them the store has its own.
    """

    _backend: ServerBackend | None

    def __init__(self, settings: IndexSettings, schema: Schema, calls: ServerCalls | None = None) -> None:
        super().__init__(settings, schema)
        self._calls = calls or ServerCalls(settings)
        self._client = self._calls.client
        self._owns_calls = calls is None
        self._any_schema = False
        self._opening = threading.RLock()

    def open(self, *, any_schema: bool = False) -> Self:
        """See `Store.open`."""
        with self._opening:
            if self._backend is None:
                self._any_schema = any_schema
                self._backend = self._resolve(create=True)
        return self

    def close(self) -> None:
        """See `Store.close`."""
        super().close()
        if self._owns_calls:
            self._calls.close()

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
        try:
            return self._figures()
        except CollectionGoneError:
            return self._figures()

    @property
    def build(self) -> str:
        """See `Store.build`."""
        return self._open.identity

    def refresh(self) -> None:
        """See `Store.refresh`."""
        with self._opening:
            self._backend = self._resolve(create=False)

    def shadow(self, schema: Schema, *, resume: str | None = None) -> Store:
        """See `Store.shadow`."""
        shadow = _Shadow(self._settings, schema, self._calls)
        backend = ServerBackend(self._calls, self._name(uuid4().hex[:12]))
        for found, built in list(self._leftovers()):
            if built == schema and found.identity == resume:
                backend = found
            else:
                self._drop(found.build)
        backend.create(schema)
        backend.index_payload(self._settings)
        backend.describe()
        shadow._backend = backend
        return shadow

    def swap(self, shadow: Store) -> None:
        """See `Store.swap`."""
        if not isinstance(shadow, _Shadow) or shadow._calls is not self._calls:
            raise InvalidRequestError("only a shadow of this very index can take its place")
        with self._gate.writing():
            old, new = self._open, shadow._open
            follows = shadow._schema == self._schema
            self._point_alias_to(new.build)
            self._backend, self._schema = new, shadow._schema
            shadow._backend = None
        if follows:
            try:
                self._drop(old.build)
            except IndexUnavailableError as error:
                logger.warning("the old collection %s stays until the next reindex: %s", old.build, error.detail)

    def drop_leftovers(self) -> int:
        """See `Store.drop_leftovers`."""
        found = [each.build for each, _ in self._leftovers()]
        for build in found:
            self._drop(build)
        return len(found)

    @property
    def _open(self) -> ServerBackend:
        backend = self._backend
        if backend is None:
            raise IndexUnavailableError("the index is not open")
        if backend.gone:
            with self._opening:
                if self._backend is backend:  # nobody else went over meanwhile
                    self._backend = self._resolve(create=False)
                backend = self._backend or backend
        return backend

    def _figures(self) -> StoreInfo:
        return self._info("server", {"url": self._settings.url or "", "build": self._open.build})

    def _replacing(self) -> AbstractContextManager[None]:
        """Nothing: other processes search too, and a slow server must not hold up the searches of this one."""
        return nullcontext()

    def _resolve(self, *, create: bool) -> ServerBackend:
        name = self._settings.collection
        live = self._aliases().get(name)
        if live is None and not create:
            raise IndexUnavailableError(
                f"collection {name!r} is gone from the server: restore it, or restart Strata and run "
                "`strata reindex --force`"
            )
        backend = ServerBackend(self._calls, live or self._name(FIRST_BUILD))
        if live is None:
            backend.create(self._schema)
        schema = backend.describe()
        if self._any_schema:
            self._schema = schema
        require_same(schema, self._schema, name)
        backend.index_payload(self._settings)
        if live is None:
            self._point_alias_to(backend.build)
        return backend

    def _name(self, build: str) -> str:
        return f"{self._settings.collection}-{build}"

    def _aliases(self) -> dict[str, str]:
        aliases = self._calls(self._settings.collection, self._client.get_aliases).aliases
        return {each.alias_name: each.collection_name for each in aliases}

    def _leftovers(self) -> Iterator[tuple[ServerBackend, Schema]]:
        """Builds of this collection that no alias points to: those that were replaced, and unfinished ones."""
        prefix = self._name("")
        present = self._calls(self._settings.collection, self._client.get_collections).collections
        used = {*self._aliases().values(), self._open.build}
        for each in present:
            if each.name.startswith(prefix) and _BUILD.fullmatch(each.name, len(prefix)) and each.name not in used:
                build = ServerBackend(self._calls, each.name)
                try:
                    schema = build.describe()
                except (CollectionGoneError, IndexMismatchError):  # somebody else's, or dropped just now
                    continue
                yield build, schema

    def _drop(self, build: str) -> None:
        self._calls(build, lambda: self._client.delete_collection(build))

    def _point_alias_to(self, build: str) -> None:
        alias = models.CreateAlias(collection_name=build, alias_name=self._settings.collection)
        switch = [models.CreateAliasOperation(create_alias=alias)]
        self._calls(build, lambda: self._client.update_collection_aliases(switch))


class _Shadow(ServerStore):
    """A collection beside the live one, without the alias."""

    def open(self, *, any_schema: bool = False) -> Self:
        """Open from the start; does nothing."""
        return self
