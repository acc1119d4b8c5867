"""What keeps a worker from publishing what it has lost, or into an index that a reindex has replaced."""

import threading
from collections.abc import Callable, Sequence

from pipelines.core.errors import IndexUnavailableError
from pipelines.core.state import Ledger, Standing, WorkItem
from pipelines.core.store import Store

LOOK_S = 0.2
"""How often a worker looks whether it may publish again while a reindex changes over."""


class Fence:
    """Asks the ledger, before and after a publication. Safe to share between threads.

    A worker that stalls between asking and publishing for longer than its lease is kept off twice more: the index
    deletes nothing that is newer than the publication's begin, and the ledger takes no report without a lease.

    Args:
        store: Opens the index; called when there is work, not before.
    """

    def __init__(self, ledger: Ledger, store: Callable[[], Store], lease_s: float) -> None:
        self._ledger, self._store, self._lease_s = ledger, store, lease_s

    def build(self) -> str:
        """The live collection, to be named in every report. Goes over to it where a reindex swapped it in.

        Raises:
            IndexMismatchError: it was built for another configuration.
            IndexUnavailableError: a reindex was cut off in the middle of its swap.
        """
        store = self._store()
        if self._standing(store.build) is Standing.RETIRED:
            store.refresh()
            if self._standing(store.build) is Standing.RETIRED:
                raise IndexUnavailableError("A reindex did not come to its end: run `strata reindex` again.")
        return store.build

    def wanted(self, items: Sequence[WorkItem], *, build: str, stop: threading.Event) -> frozenset[str]:
        """Tokens of the documents that may be published now; none once it stops. Waits while a reindex changes over.

        Args:
            build: The collection that they were written into.

        Raises:
            IndexUnavailableError: a reindex has replaced it.
        """
        while (standing := self._standing(build)) is Standing.HELD and not stop.wait(LOOK_S):
            pass
        if standing is Standing.RETIRED or self._store().build != build:
            raise IndexUnavailableError("A reindex has replaced the index; documents are prepared for the new one.")
        return self._ledger.leases.extend(items, self._lease_s) if standing is Standing.LIVE else frozenset()

    def _standing(self, build: str) -> Standing:
        return self._ledger.reindexes.standing(build)
