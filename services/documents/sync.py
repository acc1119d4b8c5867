"""Sources: folders and buckets are compared with what was seen last time, and what changed is accepted."""

import hashlib
import io
import json
import logging
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice

from indexing.identity import LAYOUT
from pipelines.core.errors import BlobsUnavailableError, ConflictError, StateUnavailableError, StrataError
from pipelines.core.settings import Settings
from pipelines.core.state import ReadFile, SeenFile, Sources, Submission, SyncEndedError, SyncItem, owner_id
from services.documents.intake import Intake, NewDocument
from services.documents.listing import Listed, Listing, UnreadableFileError, make_listing
from services.documents.locations import allowed, configured_locations, parse

BATCH = 200
"""Files compared, read and recorded together: what a killed worker read for nothing, and what is in memory."""

READS = 3
"""Tries to read a file that changes meanwhile."""

FULL_PAUSE_S = 30.0

logger = logging.getLogger(__name__)


class Syncs:
    """Works off the syncs that are queued, and deletes sources with their documents.

    Args:
        intake: Keeps what is read.
        fingerprint: Of the encoder.
        queued: How many documents wait to be indexed.
        nudge: Called with the number of documents that came, or are to be deleted.
    """

    def __init__(
        self,
        settings: Settings,
        sources: Sources,
        *,
        intake: Intake,
        fingerprint: str,
        queued: Callable[[], int],
        nudge: Callable[[int], None],
    ) -> None:
        self.settings, self.sources, self.intake = settings, sources, intake
        self.fingerprint, self.queued, self.nudge = fingerprint, queued, nudge

    def turn(self, stop: threading.Event) -> bool:
        """One turn; see `services.work.Work`."""
        while not stop.is_set() and self.one(stop):
            pass
        return not stop.is_set() and self.sources.next_due_s() is not None

    def one(self, stop: threading.Event, source_id: str | None = None) -> bool:
        """Works off the sync that waits longest, or this source's; returns whether there was any.

        Raises:
            StateUnavailableError: the state database cannot be used.
        """
        item = self.sources.claim(owner_id(), self.settings.ingest.lease_s, source_id)
        if item is None:
            return False
        with self._lease(item) as lost:
            self._work(_Look(self, item, lambda: stop.is_set() or lost.is_set()))
        return True

    def _work(self, look: "_Look") -> None:
        item = look.item
        try:
            self.sources.finish(item, incomplete=look.run())
        except _StoppedError as end:
            self.sources.release(item, delay_s=end.delay_s)
        except StateUnavailableError:
            raise  # the lease ends by itself
        except StrataError as error:
            again = self.sources.fail(item, error)
            logger.warning("sync of %s: %s%s", item.url, error.detail, " It is tried again." if again else "")
        except Exception as error:  # one source's boundary: the others go on
            where = "".join(traceback.format_tb(error.__traceback__))
            logger.error("sync of %s: %s\n%s", item.url, type(error).__name__, where)
            self.sources.fail(item, BlobsUnavailableError(f"Something unforeseen went wrong ({type(error).__name__})."))

    @contextmanager
    def _lease(self, item: SyncItem) -> Iterator[threading.Event]:
        """Prolongs the lease in the background; gives an event that tells that it is lost."""
        lease_s = self.settings.ingest.lease_s
        over, lost = threading.Event(), threading.Event()

        def prolong() -> None:
            while not over.wait(lease_s / 3):
                try:
                    if not self.sources.extend(item, lease_s):
                        lost.set()
                except StrataError:
                    continue  # the next round tries again; two may fail before the lease ends

        thread = threading.Thread(target=prolong, name="strata-sync-lease", daemon=True)
        thread.start()
        try:
            yield lost
        finally:
            over.set()
            thread.join()


class _StoppedError(Exception):
    """The rest is left to another turn."""

    def __init__(self, delay_s: float = 0.0) -> None:
        super().__init__()
        self.delay_s = delay_s


class _Look:
    """One look at one source."""

    def __init__(self, parts: Syncs, item: SyncItem, stopped: Callable[[], bool]) -> None:
        self.item = item
        self._parts, self._sources, self._stopped = parts, parts.sources, stopped
        made = [
            LAYOUT,
            parts.settings.split.model_dump(),
            parts.fingerprint,
            sorted(item.metadata.items()),
            item.labels,
        ]
        self._made = json.dumps(made, default=str)

    def run(self) -> str | None:
        """Looks; returns why the source is not as it should be, though what was found was accepted.

        Raises:
            StrataError: the source, the blob store or the state cannot be used, or nobody wants it any more.
        """
        if self.item.deleting:
            self._forget()
            return None
        listing = self._listing()
        files, found = listing.files(), False
        while batch := list(islice(files, BATCH)):
            found = True
            self._take(listing, batch)
        return self._delete(listing, found)

    def _listing(self) -> Listing:
        settings = self._parts.settings
        location, sources = parse(self.item.url), settings.ingest.sources
        if any(configured.holds(location) for configured in configured_locations(sources)):
            allowed(location, sources)  # a link may stand in the way by now
        return make_listing(location, settings.ingest.source_options, timeout_s=settings.blobs.timeout_s)

    # --- New and changed files -------------------------------------------------------------------------------------

    def _take(self, listing: Listing, batch: Sequence[Listed]) -> None:
        """Reads what is new or changed of some files, and records it."""
        self._check()
        if self._parts.queued() >= self._parts.settings.ingest.max_queued:
            raise _StoppedError(FULL_PAUSE_S)
        files = {file.url: file for file in batch}
        wanted = self._sources.look(self.item, [SeenFile(url, self._seal(file.mark)) for url, file in files.items()])
        read: list[ReadFile] = []
        for url, known in wanted.items():
            self._check()
            if (one := self._read(listing, files[url], known)) is not None:
                read.append(one)
            if sum(len(each.submissions) for each in read) >= BATCH:
                self._record(read)
                read = []
        self._record(read)

    def _record(self, files: Sequence[ReadFile]) -> None:
        if not files:
            return
        try:
            self._sources.accept(self.item, files)
        except SyncEndedError:
            raise
        except ConflictError as error:
            if len(files) == 1:
                logger.warning("sync of %s: %s is left out: %s", self.item.url, files[0].file.path, error.detail)
                self._sources.keep(self.item, files[0].file)  # or what it was would be deleted as gone
                return
            for file in files:
                self._record([file])
        else:
            self._parts.nudge(sum(len(file.submissions) for file in files))

    def _read(self, listing: Listing, file: Listed, known: bool) -> ReadFile | None:
        """Reads a file until it is the same before and after; `None` when it is gone."""
        mark: str | None = file.mark
        for _ in range(READS):
            before = mark
            try:
                submissions = self._submissions(listing, file)
            except FileNotFoundError:
                return None
            except UnreadableFileError as error:
                return ReadFile(SeenFile(file.url, ""), known, [self._unreadable(file, str(error))])
            mark = listing.mark(file)
            if mark is None:
                break
            if mark == before:
                return ReadFile(SeenFile(file.url, self._seal(mark)), known, submissions)
        return ReadFile(SeenFile(file.url, ""), known, submissions)  # the next sync sees what became of it

    def _submissions(self, listing: Listing, file: Listed) -> list[Submission]:
        with listing.open(file) as stream:
            document = NewDocument(stream, file.name, file.url, self.item.metadata, self.item.labels)
            return list(self._parts.intake.submissions(self.item.tenant, [document], strict=False))

    def _unreadable(self, file: Listed, reason: str) -> Submission:
        document = NewDocument(io.BytesIO(), file.name, file.url, self.item.metadata, self.item.labels)
        return self._parts.intake.unreadable(self.item.tenant, document, reason)

    def _seal(self, mark: str) -> str:
        """A mark that tells a change of what a document is made with as well."""
        return hashlib.sha256(f"{mark}\n{self._made}".encode()).hexdigest()

    # --- Files that are gone ---------------------------------------------------------------------------------------

    def _delete(self, listing: Listing, found: bool) -> str | None:
        """Deletes documents whose files are gone. Returns why not, where that cannot be told."""
        if listing.left_out:
            return f"{listing.left_out:,} folders could not be read, so nothing was deleted; check their permissions."
        if not found and (known := self._sources.known(self.item)):
            return (
                f"No file was found where {known:,} were, as when a disk is not mounted, so nothing was deleted. If "
                "they are gone, delete the source with its documents."
            )
        if not self.item.keep_deleted:
            self._forget()
        return None

    def _forget(self) -> None:
        while number := self._sources.forget_unseen(self.item, BATCH):
            self._parts.nudge(number)
            self._check()

    def _check(self) -> None:
        if self._stopped():
            raise _StoppedError
