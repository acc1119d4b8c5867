"""Files that nothing needs any more."""

from collections.abc import Iterable, Sequence
from itertools import islice

from indexing.identity import text_name
from pipelines.core.blobs import BlobStore
from pipelines.core.state import Ledger

UNUSED_S = 3600.0
"""A file that was put since then may be about to be submitted."""

TEXTS = "text/"
DROP = 500


def drop(ledger: Ledger, blobs: BlobStore, keys: Iterable[str], *, texts_at_once: bool = False) -> int:
    """Removes those files that nothing needs, and no worker is about to; returns how many.

    Args:
        texts_at_once: Removes source texts however new they are, because whoever wrote them says that they are over.
            New files stay all the same.
    """
    rest, dropped = iter(keys), 0
    while some := list(islice(rest, DROP)):
        for key in _unneeded(ledger, some):
            at_once = texts_at_once and key.startswith(TEXTS)
            dropped += blobs.delete(key, unused_for_s=0.0 if at_once else UNUSED_S)
    return dropped


def _unneeded(ledger: Ledger, keys: Sequence[str]) -> list[str]:
    # First who is at work, then what is needed: a text becomes needed when its document ends.
    writing = {TEXTS + text_name(*running) for running in ledger.leases.running()}
    return ledger.unreferenced([key for key in keys if key not in writing])
