"""The index: the only package that imports Qdrant."""

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
]
