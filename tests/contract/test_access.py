"""What access labels mean in the state database, on SQLite and on PostgreSQL."""

import pytest

from pipelines.core.errors import ConflictError, ForbiddenError, NotFoundError, RepeatedKeyError
from pipelines.core.state import Database, DocumentStatus, Keys, Ledger, Once, Submission
from pipelines.core.types import Answer, AnswerStatus

TENANT = "default"


def submission(source: str, *labels: str, version: str = "a", name: str = "file.txt") -> Submission:
    return Submission(
        document_id=f"doc-{source}",
        source=source,
        name=name,
        content_sha256=version * 64,
        size_bytes=1,
        format="txt",
        blob_key=f"blob-{source}-{version}",
        fingerprint=f"{source}-{version}-{'-'.join(labels)}",
        labels=tuple(sorted(labels)),
    )


def index(ledger: Ledger, *submissions: Submission) -> None:
    ledger.accept(TENANT, submissions)
    for item in ledger.leases.claim(10, "elsewhere:1:x", lease_s=60):
        assert ledger.leases.finish(item, passages=1, title="Title", text_key=f"text-{item.fingerprint}")


def listed(ledger: Ledger, *labels: str) -> list[str]:
    return sorted(document.source for document in ledger.documents(TENANT, labels=labels).items)


def test_a_reader_sees_what_has_no_label_or_one_of_theirs(ledger: Ledger) -> None:
    index(ledger, submission("open"), submission("a", "a_1"), submission("b", "b"), submission("both", "a_1", "b"))
    assert listed(ledger) == ["open"]
    assert listed(ledger, "a_1") == ["a", "both", "open"]
    assert listed(ledger, "ax1", "a", "_") == ["open"]
    assert listed(ledger, "a_1", "b") == ["a", "b", "both", "open"]
    assert len(ledger.documents(TENANT).items) == 4
    assert ledger.document("doc-a", TENANT, labels=("a_1",)).labels == ("a_1",)
    for labels in ((), ("b",)):
        with pytest.raises(NotFoundError):
            ledger.document("doc-a", TENANT, labels=labels)
        with pytest.raises(NotFoundError):
            ledger.delete_document("doc-a", TENANT, labels=labels)


def test_only_owners_of_all_labels_delete_and_replace(ledger: Ledger) -> None:
    index(ledger, submission("open"), submission("both", "a", "b"), submission("a", "a"))
    for document in ("doc-open", "doc-both"):
        with pytest.raises(ForbiddenError):
            ledger.delete_document(document, TENANT, labels=("a",))
    for source in ("open", "both"):
        with pytest.raises(ConflictError):
            ledger.accept(TENANT, [submission(source, "a", version="z")], labels=("a",))
        assert ledger.document(f"doc-{source}", TENANT).pending_version is None
    ledger.accept(TENANT, [submission("a", "a", version="z")], labels=("a",))
    assert ledger.delete_document("doc-a", TENANT, labels=("a",)).status is DocumentStatus.DELETING


def test_a_waiting_submission_with_other_labels_is_nobody_elses_to_supersede(ledger: Ledger) -> None:
    index(ledger, submission("s", "a"))
    ledger.accept(TENANT, [submission("s", "b", version="b")])
    with pytest.raises(ConflictError):
        ledger.accept(TENANT, [submission("s", "a", version="c")], labels=("a",))
    with pytest.raises(ForbiddenError):
        ledger.delete_document("doc-s", TENANT, labels=("a",))


def test_new_labels_hold_from_when_the_new_version_does(ledger: Ledger) -> None:
    index(ledger, submission("s", "a", name="old.txt"))
    ledger.accept(TENANT, [submission("s", "b", version="b", name="new.txt")])
    assert (listed(ledger, "a"), listed(ledger, "b")) == (["s"], [])
    (item,) = ledger.leases.claim(1, "elsewhere:1:x", lease_s=60)
    assert item.labels == ("b",)
    ledger.leases.finish(item, passages=1, title="Title", text_key="text")
    assert (listed(ledger, "a"), listed(ledger, "b")) == ([], ["s"])


def test_a_document_that_was_never_indexed_is_its_newest_submission(ledger: Ledger) -> None:
    ledger.accept(TENANT, [submission("s", "a", name="old.txt")])
    ledger.accept(TENANT, [submission("s", "b", version="b", name="new.txt")])
    assert listed(ledger, "a") == []
    assert ledger.document("doc-s", TENANT, labels=("b",)).name == "new.txt"


def test_a_document_that_comes_back_after_its_deletion_has_its_new_labels(ledger: Ledger) -> None:
    index(ledger, submission("s", "a", name="old.txt"))
    ledger.delete_document("doc-s", TENANT)
    ledger.accept(TENANT, [submission("s", "b", version="b", name="new.txt")])
    (deletion,) = ledger.leases.claim_deletions(1, "elsewhere:1:x", lease_s=60)
    ledger.leases.purge(deletion)
    assert (listed(ledger, "a"), listed(ledger, "b")) == ([], ["s"])
    assert ledger.document("doc-s", TENANT).name == "new.txt"


def test_jobs_and_receipts_are_for_who_holds_all_labels_of_their_maker(ledger: Ledger) -> None:
    mine = ledger.accept(TENANT, [submission("s", "a")], labels=("a",))
    every = ledger.accept(TENANT, [submission("t")])
    answer = Answer(id="x", question="q", status=AnswerStatus.ANSWERED, text="t")
    ledger.receipts.record(TENANT, answer, labels=("a", "b"))
    assert ledger.progress.job(mine.id, TENANT, labels=("a", "b")).id == mine.id
    assert [job.id for job in ledger.progress.jobs(TENANT, labels=("a",)).items] == [mine.id]
    assert ledger.receipts.of("x", TENANT, labels=("a", "b")).answer_id == "x"
    for hidden in (
        lambda: ledger.progress.job(mine.id, TENANT, labels=("b",)),
        lambda: ledger.progress.job(every.id, TENANT, labels=("a",)),
        lambda: ledger.progress.items(every.id, TENANT, labels=("a",)),
        lambda: ledger.cancel(every.id, TENANT, labels=("a",)),
        lambda: ledger.retry_failed(TENANT, every.id, labels=("a",)),
        lambda: ledger.receipts.of("x", TENANT, labels=("a",)),
    ):
        with pytest.raises(NotFoundError):
            hidden()


def test_an_idempotency_key_is_good_for_the_same_labels_only(ledger: Ledger) -> None:
    once = Once(key="k", request_sha256="0" * 64)
    made = ledger.accept(TENANT, [submission("s", "a")], labels=("a",), once=once)
    assert ledger.accept(TENANT, [submission("s", "a")], labels=("a",), once=once).id == made.id
    for labels in (None, (), ("b",)):
        with pytest.raises(RepeatedKeyError):
            ledger.accept(TENANT, [submission("s", "a")], labels=labels, once=once)


def test_keys_are_found_again(address: str) -> None:
    database = Database(address)
    made, secret = Keys(database).create("acme", "key", ["ask"], labels=["b", "a"])
    found = Keys(database).find(secret)
    assert found is not None
    assert found.principal == made.principal
    assert found.labels == ("a", "b")
    Keys(database).revoke(made.id)
    assert Keys(database).find(secret) is None
    database.close()
