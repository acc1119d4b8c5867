"""One worker's turn at the ledger: what it holds, and the leases that keep others off."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from pipelines.core.errors import StateUnavailableError, StrataError
from pipelines.core.state import Leases, WorkItem, owner_id

CLAIM = 16


class Shift:
    """Claims documents one after the other and prolongs their leases until they end.

    Args:
        stop: Once set, no further document is handed out.
        owed: What earlier shifts of this process could not give back, because the database was away. Without it their
            documents would wait for the end of their leases, with a worker beside them that lives.
    """

    def __init__(self, leases: Leases, stop: threading.Event, lease_s: float, owed: list[WorkItem]) -> None:
        self._leases, self._stop, self._lease_s, self._owed = leases, stop, lease_s, owed
        self._owner = owner_id()
        self._lock = threading.Lock()
        self._waiting: list[WorkItem] = []
        self._held: dict[str, WorkItem] = {}
        self._unwanted: set[str] = set()

    def batch(self) -> Iterator[WorkItem]:
        """Claims what may share one run of the document path, until nothing is queued.

        A document that failed before is alone in its run: should it take the run down again, no other pays for it.
        Work that nobody wants any more is given back instead of handed out.
        """
        begun = alone = False
        while not alone and not self._stop.is_set() and (item := self._next(only_new=begun)):
            if item.token in self._unwanted:
                self.end(item.document_id)
                self._leases.release(item)
            else:
                begun, alone = True, item.attempt > 1
                yield item

    def _next(self, *, only_new: bool) -> WorkItem | None:
        if not self._waiting:
            claimed = self._leases.claim(CLAIM, self._owner, self._lease_s, holding=bool(self._held))
            with self._lock:
                self._waiting = claimed
        with self._lock:
            if not self._waiting or (only_new and self._waiting[0].attempt > 1):
                return None
            item = self._waiting.pop(0)
            self._held[item.document_id] = item
            return item

    def held(self, document_id: str) -> WorkItem | None:
        """A document that was handed out and has not ended; `None` where it is off the shift."""
        with self._lock:
            return self._held.get(document_id)

    def end(self, document_id: str) -> WorkItem | None:
        """Takes a document off the shift and returns it; `None` where it is off already."""
        with self._lock:
            return self._held.pop(document_id, None)

    def end_all(self) -> list[WorkItem]:
        """Takes everything off the shift that was handed out and has not ended, and returns it."""
        with self._lock:
            held = list(self._held.values())
            self._held.clear()
            return held

    @contextmanager
    def keep_leases(self) -> Iterator[None]:
        """Prolongs the leases in the background; what is left at the end is given back."""
        self._give_back()
        stop = threading.Event()
        thread = threading.Thread(target=self._prolong, args=(stop,), name="strata-leases", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
            self._owed += self._all()
            with suppress(StateUnavailableError):  # the next shift gives it back
                self._give_back()

    def _give_back(self) -> None:
        while self._owed:
            self._leases.release(self._owed[-1])
            self._owed.pop()

    def _prolong(self, stop: threading.Event) -> None:
        while not stop.wait(self._lease_s / 3):
            items = self._all()
            try:
                wanted = self._leases.extend(items, self._lease_s)
            except StrataError:
                continue  # the next round tries again; two may fail before a lease ends
            self._unwanted |= {item.token for item in items} - wanted

    def _all(self) -> list[WorkItem]:
        with self._lock:
            return [*self._held.values(), *self._waiting]
