"""Whether a collection is what the configuration expects."""

from pipelines.core.errors import IndexMismatchError
from pipelines.core.store.base import Schema


def require_same(built: Schema, wanted: Schema, collection: str) -> None:
    """Passes when a collection was built with the wanted schema.

    Raises:
        IndexMismatchError: it was not; the detail names both.
    """
    if built != wanted:
        raise IndexMismatchError(
            f"collection {collection!r} was built with encoder {built.encoder} ({built.dim} dimensions, layout "
            f"{built.layout}), the configuration has {wanted.encoder} ({wanted.dim} dimensions, layout "
            f"{wanted.layout}): run `strata reindex` with this configuration, which builds the index anew beside the "
            "old one and swaps at the end; where that was done, this process still has the old configuration"
        )
