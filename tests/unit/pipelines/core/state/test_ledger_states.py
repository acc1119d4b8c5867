"""Random histories of one document, checked against what must always hold."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pipelines.core.errors import IndexUnavailableError, MalformedDocumentError, NotFoundError
from pipelines.core.state import DocumentStatus, ItemStatus, Ledger, Submission, WorkItem

VERSIONS = st.sampled_from(["a", "b"])
LEASE_S = 60


class LedgerMachine(RuleBasedStateMachine):
    """Plays callers, workers that publish, crash or stall, and a deleter, against an index that is one variable."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self.ledger = Ledger(Path(self.folder.name) / "state.db", clock=lambda: self.now)
        self.held: WorkItem | None = None
        self.index: str | None = None
        self.jobs: list[str] = []

    def teardown(self) -> None:
        self.ledger.close()
        self.folder.cleanup()

    @rule(version=VERSIONS)
    def submit(self, version: str) -> None:
        submission = Submission(
            document_id="d",
            source="s",
            name="n",
            content_sha256=version,
            size_bytes=1,
            format="text",
            blob_key=version,
            fingerprint=version,
        )
        job = self.ledger.accept("t", [submission])
        self.jobs.append(job.id)
        if job.counts[ItemStatus.UNCHANGED]:
            assert self.index == version, "called unchanged, but the index shows something else"

    @precondition(lambda self: self.held is None)
    @rule()
    def claim(self) -> None:
        items = self.ledger.leases.claim(1, "other:1:x", LEASE_S)
        self.held = items[0] if items else None

    @precondition(lambda self: self.held)
    @rule(reports=st.booleans())
    def publish(self, reports: bool) -> None:
        """Publishes, then reports it or crashes before it can."""
        assert self.held
        if self.ledger.leases.extend([self.held], LEASE_S):
            self.index = self.held.fingerprint
            if reports:
                assert self.ledger.leases.finish(self.held, passages=1, title="t", text_key=None)
        self._end(reports)

    @precondition(lambda self: self.held)
    @rule(passing=st.booleans())
    def fail(self, passing: bool) -> None:
        assert self.held
        self.ledger.leases.fail(self.held, IndexUnavailableError("x") if passing else MalformedDocumentError("x"))
        self.held = None

    @precondition(lambda self: self.held)
    @rule()
    def release(self) -> None:
        assert self.held
        self.ledger.leases.release(self.held)
        self.held = None

    @precondition(lambda self: self.held)
    @rule()
    def crash(self) -> None:
        self._end(reported=False)

    @rule()
    def delete(self) -> None:
        try:
            self.ledger.delete_document("d", "t")
        except NotFoundError:
            assert self.index is None, "forgotten, but still in the index"

    @rule()
    def purge(self) -> None:
        for deletion in self.ledger.leases.claim_deletions(1, "other:1:x", LEASE_S):
            assert self.held is None, "deleted under a worker's hands"
            self.index = None
            assert self.ledger.leases.purge(deletion)

    @precondition(lambda self: self.jobs)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        self.ledger.cancel(data.draw(st.sampled_from(self.jobs)), "t")

    @rule(data=st.data())
    def retry(self, data: st.DataObject) -> None:
        self.ledger.retry_failed("t", data.draw(st.sampled_from([None, *self.jobs])))

    @invariant()
    def nothing_open_is_forgotten(self) -> None:
        waiting = [
            item.fingerprint
            for job in self.jobs
            for item in self.ledger.progress.items(job, "t")
            if item.status in (ItemStatus.QUEUED, ItemStatus.RUNNING)
        ]
        documents = self.ledger.documents("t").items
        assert len(set(waiting)) <= 1
        if waiting:
            assert documents[0].pending_version == waiting[0]
            assert documents[0].status in (DocumentStatus.QUEUED, DocumentStatus.RUNNING, DocumentStatus.DELETING)
        elif documents:
            assert documents[0].status not in (DocumentStatus.QUEUED, DocumentStatus.RUNNING)

    def _end(self, reported: bool) -> None:
        assert self.held
        if not reported:
            self.now += timedelta(seconds=LEASE_S + 1)
        elif not self.ledger.leases.extend([self.held], LEASE_S):
            self.ledger.leases.release(self.held)
        self.held = None


TestLedgerMachine = LedgerMachine.TestCase
TestLedgerMachine.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
