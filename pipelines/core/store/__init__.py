"""The index: the only package that imports Qdrant, and only when a store is made."""

from pathlib import Path

from pipelines.core.settings import IndexSettings
from pipelines.core.store.base import (
    DocumentVersion,
    EmbeddedPassage,
    Fusion,
    RankedQuery,
    Schema,
    Store,
    StoreInfo,
)

__all__ = [
    "DocumentVersion",
    "EmbeddedPassage",
    "Fusion",
    "RankedQuery",
    "Schema",
    "Store",
    "StoreInfo",
    "make_store",
]


def make_store(settings: IndexSettings, data_dir: Path, schema: Schema) -> Store:
    """The store that the settings ask for, not yet open; an embedded one lives in `data_dir/index`."""
    if settings.mode == "server":
        from pipelines.core.store.server import ServerStore  # loads qdrant-client

        return ServerStore(settings, schema)
    from pipelines.core.store.edge import EmbeddedStore  # loads qdrant-edge

    return EmbeddedStore(data_dir / "index", settings, schema)
