"""Accepting documents and working them off, on real parts but for the encoder."""

import contextlib
import io
import logging
import os
import tempfile
import threading
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from indexing.convert import FileConverter
from indexing.ingest import build_ingest_pipeline, ingest
from indexing.stream import Indexed, Outcome, Wanted
from indexing.stream import Submission as PipelineSubmission
from pipelines.core.blobs import FolderBlobs
from pipelines.core.errors import (
    IndexUnavailableError,
    MalformedDocumentError,
    NotFoundError,
    StateUnavailableError,
    StrataError,
)
from pipelines.core.settings import ConvertSettings, IndexSettings, IngestSettings, Settings, SplitSettings
from pipelines.core.state import Document, DocumentStatus, ItemStatus, Job, Ledger, WorkItem
from pipelines.core.store import Schema, make_store
from services.documents.ingestion import Ingestion
from services.documents.intake import NewDocument
from tests.support.hash_encoder import HashEncoder

TENANT = "default"
LIMIT = 10_000
LONG = "\n\n".join(f"# Section {n}\n\nThe {n}th fact about bridges is told here in full." for n in range(40))


class Service:
    """An ingestion with its parts at hand."""

    def __init__(self, folder: Path) -> None:
        self.settings = Settings(
            convert=ConvertSettings(max_file_bytes=LIMIT),
            split=SplitSettings(max_words=20),
            ingest=IngestSettings(batch_passages=8),
        )
        self.encoder = HashEncoder()
        self.blobs = FolderBlobs(folder / "blobs")
        self.ledger = Ledger(folder / "state.sqlite")
        self.store = make_store(IndexSettings(), folder, Schema(self.encoder.fingerprint, self.encoder.dim)).open()
        self.converter = FileConverter(self.settings.convert)
        self.pipeline = build_ingest_pipeline(
            self.settings,
            converter=self.converter,
            blobs=self.blobs,
            encoder=self.encoder,  # type: ignore[arg-type]
            store=self.store,
        )
        self.before: Callable[[PipelineSubmission], None] = lambda _: None
        self.ended: list[tuple[str, str]] = []
        self.lease(40.0)

    def lease(self, lease_s: float) -> None:
        ingest = self.settings.ingest.model_copy(update={"lease_s": lease_s})
        self.ingestion = Ingestion(
            self.settings.model_copy(update={"ingest": ingest}),
            ledger=self.ledger,
            blobs=self.blobs,
            store=lambda: self.store,
            run=self._run,
            fingerprint=self.encoder.fingerprint,
        )

    def _run(
        self, submissions: Iterable[PipelineSubmission], observer: Callable[[Outcome], None], wanted: Wanted
    ) -> None:
        def watched() -> Iterator[PipelineSubmission]:
            for submission in submissions:
                self.before(submission)
                yield submission

        ingest(self.pipeline, watched(), observer, wanted)

    def accept(self, **texts: str | bytes) -> Job:
        documents = [
            new(f"{name}.md", io.BytesIO(text if isinstance(text, bytes) else text.encode()))
            for name, text in texts.items()
        ]
        return self.ingestion.accept(TENANT, documents)

    def work(self, stop: threading.Event | None = None) -> int:
        return self.ingestion.work(self._observe, stop=stop)

    def _observe(self, item: WorkItem, outcome: Outcome | StrataError) -> None:
        self.ended.append((item.name, "indexed" if isinstance(outcome, Indexed) else "failed"))

    def document(self, name: str) -> Document:
        return next(each for each in self.ledger.documents(TENANT).items if each.name == name)

    def statuses(self, job: Job) -> dict[str, ItemStatus]:
        return {item.name: item.status for item in self.ledger.progress.items(job.id, TENANT)}

    def texts(self, name: str) -> list[str]:
        return [passage.text for passage in self.store.passages(self.document(name).id)]

    def close(self) -> None:
        self.converter.close()
        self.store.close()
        self.ledger.close()


def new(name: str, content: Path | io.BytesIO, **metadata: str | int) -> NewDocument:
    return NewDocument(content, name=name, source=name, metadata=metadata)


@pytest.fixture
def service() -> Iterator[Service]:
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        made = Service(Path(folder))
        yield made
        made.close()


def test_accepted_documents_end_indexed(service: Service) -> None:
    job = service.accept(a="Text of a.", b="Text of b.")
    assert service.ledger.progress.job(job.id, TENANT).counts[ItemStatus.QUEUED] == 2
    assert service.work() == 2
    assert sorted(service.ended) == [("a.md", "indexed"), ("b.md", "indexed")]
    document = service.document("a.md")
    assert (document.status, document.passages, document.title) == (DocumentStatus.INDEXED, 1, "a")
    assert document.text_key is not None
    assert "".join(service.blobs.read_text(document.text_key)).strip() == "Text of a."
    assert service.ledger.progress.job(job.id, TENANT).finished


def test_unchanged_documents_embed_nothing(service: Service) -> None:
    service.accept(a=LONG)
    service.work()
    service.encoder.texts.clear()
    job = service.accept(a=LONG)
    assert (service.work(), service.encoder.texts) == (0, [])
    assert service.statuses(job) == {"a.md": ItemStatus.UNCHANGED}


def test_a_changed_document_replaces_the_old_one_and_its_text(service: Service) -> None:
    service.accept(a="Old text.")
    service.work()
    old = service.document("a.md")
    service.accept(a="New text.")
    service.work()
    assert service.texts("a.md") == ["New text."]
    assert old.text_key is not None
    assert not service.blobs.exists(old.text_key)


def test_title_and_metadata(service: Service) -> None:
    content = io.BytesIO(b"# Heading\n\nText.")
    service.ingestion.accept(TENANT, [new("a.md", content, title="Given title", year=2024)])
    service.work()
    (passage,) = service.store.passages(service.document("a.md").id)
    assert (passage.title, dict(passage.metadata)) == ("Given title", {"year": 2024})
    assert service.document("a.md").title == "Given title"


def test_files_that_cannot_be_taken_end_as_failed_and_the_others_go_on(service: Service, tmp_path: Path) -> None:
    fine, large, folder, pipe = (tmp_path / name for name in ("fine.md", "large.md", "folder.md", "pipe.md"))
    fine.write_text("Text.")
    large.write_bytes(b"x" * (LIMIT + 1))
    folder.mkdir()
    os.mkfifo(pipe)
    paths = [large, folder, pipe, tmp_path / "missing.md", fine]
    documents = [new(path.name, path) for path in paths]
    stream = new("stream.md", io.BytesIO(b"x" * (LIMIT + 1)))
    job = service.ingestion.accept(TENANT, [stream, *documents])
    assert service.work() == 1
    items = {item.name: item for item in service.ledger.progress.items(job.id, TENANT)}
    codes = {name: item.error_code for name, item in items.items()}
    assert codes == {
        "stream.md": "document_too_large",
        "large.md": "document_too_large",
        "folder.md": "document_malformed",
        "pipe.md": "document_malformed",
        "missing.md": "document_malformed",
        "fine.md": None,
    }
    assert "10,000" in (items["large.md"].error_detail or "")
    assert len(service.ended) == 6


def test_a_file_that_can_be_read_again_is_indexed_when_submitted_again(service: Service, tmp_path: Path) -> None:
    path = tmp_path / "a.md"
    service.ingestion.accept(TENANT, [new("a.md", path)])
    service.work()
    assert service.document("a.md").status is DocumentStatus.FAILED
    path.write_text("Now it is there.")
    service.ingestion.accept(TENANT, [new("a.md", path)])
    service.work()
    assert service.texts("a.md") == ["Now it is there."]


def test_a_full_disk_fails_the_submission_not_the_document(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pipelines.core.blobs.folder._flush", full)
    with pytest.raises(OSError, match="No space left"):
        service.accept(a="Text.")
    assert service.ledger.documents(TENANT).items == ()


def test_bad_content_ends_failed_with_a_reason(service: Service) -> None:
    service.accept(empty="", blank=" \n\n", good="Text.")
    service.work()
    assert sorted(service.ended) == [("blank.md", "failed"), ("empty.md", "failed"), ("good.md", "indexed")]
    assert service.document("empty.md").error_code == "document_empty"


def test_a_document_deleted_while_it_is_queued_is_gone(service: Service) -> None:
    service.accept(a="Text.", b="Text of b.")
    service.ledger.delete_document(service.document("a.md").id, TENANT)
    assert service.work() == 1
    assert [each.name for each in service.ledger.documents(TENANT).items] == ["b.md"]
    assert len(service.encoder.texts) == 1


def test_a_document_deleted_while_it_is_worked_on_leaves_nothing(service: Service) -> None:
    service.accept(a=LONG)
    document_id = service.document("a.md").id
    service.before = lambda _: service.ledger.delete_document(document_id, TENANT) and None  # type: ignore[func-returns-value]
    service.work()
    assert service.ledger.documents(TENANT).items == ()
    assert service.store.info().passages == 0
    assert [key for key in service.blobs.keys(unused_for_s=0) if key.startswith("text/")] == []


def test_a_document_deleted_and_submitted_again_while_it_is_worked_on_comes_back(service: Service) -> None:
    service.accept(a="Old text.")
    done: list[str] = []

    def replace(_: PipelineSubmission) -> None:
        if not done:
            done.append(service.ledger.delete_document(service.document("a.md").id, TENANT).id)
            service.accept(a="New text.")

    service.before = replace
    service.work()
    assert service.texts("a.md") == ["New text."]


def test_a_document_deleted_and_submitted_again_comes_back(service: Service) -> None:
    service.accept(a="Old text.")
    service.work()
    service.ledger.delete_document(service.document("a.md").id, TENANT)
    service.accept(a="New text.")
    service.work()
    assert service.texts("a.md") == ["New text."]


def test_a_version_superseded_while_it_is_worked_on_ends_as_the_newest(service: Service) -> None:
    old = service.accept(a="Old text.")
    newer: list[Job] = []

    def supersede(_: PipelineSubmission) -> None:
        if not newer:
            newer.append(service.accept(a="New text."))

    service.before = supersede
    service.work()
    assert service.texts("a.md") == ["New text."]
    assert service.statuses(newer[0]) == {"a.md": ItemStatus.INDEXED}
    assert service.statuses(old) == {"a.md": ItemStatus.SUPERSEDED}


def test_a_worker_that_lost_its_lease_changes_nothing(service: Service) -> None:
    service.accept(a="Text.", b="Text of b.")
    taken: list[int] = []

    def lose(submission: PipelineSubmission) -> None:
        if not taken:
            taken.append(service.ledger.leases.reclaim(everyone=True))

    service.before = lose
    service.work()
    assert taken == [2]
    assert service.document("b.md").status is DocumentStatus.INDEXED
    service.work()
    assert service.document("a.md").status is DocumentStatus.INDEXED
    assert service.store.info().passages == 2


def test_a_crash_of_the_index_gives_work_back_and_the_next_turn_embeds_only_the_rest(service: Service) -> None:
    service.accept(a=LONG)
    write, writes = service.store.write, []

    def crash(passages: list) -> None:
        writes.append(len(passages))
        if len(writes) == 3:
            raise IndexUnavailableError("the index went away")
        write(passages)

    service.store.write = crash  # type: ignore[method-assign,assignment]
    with pytest.raises(IndexUnavailableError):
        service.work()
    assert service.document("a.md").status is DocumentStatus.QUEUED
    assert service.document("a.md").attempts == 0
    embedded = len(service.encoder.texts)
    assert service.work() == 1
    assert len(service.encoder.texts) == embedded + (service.store.info().passages - 16)
    assert {each.status for each in service.ledger.documents(TENANT).items} == {DocumentStatus.INDEXED}


def test_a_document_that_takes_the_run_down_ends_failed_and_the_others_indexed(
    service: Service, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("pipelines.core.state.work.RETRY_DELAY_S", 0.0)
    embed = service.encoder.embed

    def fall(texts: list[str]) -> object:
        if poisoned := [text for text in texts if "poison" in text]:
            raise RuntimeError(poisoned[0])
        return embed(texts)

    monkeypatch.setattr(service.encoder, "embed", fall)
    with caplog.at_level(logging.ERROR):
        service.accept(a="Text of a.", bad="A poison.", b="Text of b.")
        for _ in range(5):
            with contextlib.suppress(RuntimeError):
                service.work()
    found = {each.name: each for each in service.ledger.documents(TENANT).items}
    assert [found[name].status.value for name in ("a.md", "b.md", "bad.md")] == ["indexed", "indexed", "failed"]
    assert (found["bad.md"].error_code, found["bad.md"].attempts) == ("document_unforeseen", 3)
    assert "RuntimeError" in caplog.text
    assert "A poison." not in caplog.text, "a foreign message may quote a document"


def test_an_encoder_that_always_fails_is_no_document_s_fault(service: Service) -> None:
    for name in ("a", "b"):
        service.accept(**{name: LONG})

    def fall(_: object) -> None:
        raise RuntimeError("out of memory")

    service.encoder.embed = fall  # type: ignore[method-assign,assignment]
    with pytest.raises(RuntimeError, match="out of memory"):
        service.work()
    assert {each.status for each in service.ledger.documents(TENANT).items} == {DocumentStatus.QUEUED}


def test_a_stopped_worker_finishes_what_it_began(service: Service) -> None:
    service.accept(a="Text of a.", b="Text of b.")
    stop = threading.Event()
    service.before = lambda _: stop.set()
    assert service.work(stop) == 1
    assert service.ledger.counts(TENANT).documents[DocumentStatus.QUEUED] == 1
    service.before = lambda _: None
    assert service.work() == 1


def test_what_fails_while_the_process_stops_is_given_back(service: Service) -> None:
    service.accept(a="")
    stop = threading.Event()
    service.before = lambda _: stop.set()
    assert service.work(stop) == 0
    document = service.document("a.md")
    assert (document.status, document.attempts, document.error_code) == (DocumentStatus.QUEUED, 0, None)
    service.before = lambda _: None
    service.work()
    assert service.document("a.md").status is DocumentStatus.FAILED


def test_two_workers_at_once_share_the_work(service: Service) -> None:
    for n in range(8):
        service.accept(**{f"d{n}-{m}": f"Text of {n} {m}." for m in range(5)})
    errors: list[BaseException] = []

    def work() -> None:
        try:
            service.work()
        except BaseException as error:
            errors.append(error)

    service.encoder.delay_s = 0.01
    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert errors == []
    assert sorted(service.ended) == sorted((f"d{n}-{m}.md", "indexed") for n in range(8) for m in range(5))
    assert len(service.encoder.texts) == service.store.info().passages == 40


def test_leases_are_kept_while_a_document_takes_long(service: Service) -> None:
    service.lease(0.3)
    service.accept(a=LONG)
    service.encoder.delay_s = 0.12
    thread = threading.Thread(target=service.work)
    thread.start()
    while not service.encoder.texts:
        thread.join(0.01)
    other = []
    while thread.is_alive():
        other += service.ledger.leases.claim(1, "another@elsewhere", 60)
        thread.join(0.05)
    assert (other, service.document("a.md").status) == ([], DocumentStatus.INDEXED)


def test_what_could_not_be_given_back_while_the_database_was_away_is_taken_up_once_it_is_there(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.accept(a="Text of a.", b="Text of b.", c="Text of c.")

    def away(*_: object, **__: object) -> bool:
        raise StateUnavailableError("the database is away")

    with monkeypatch.context() as outage:
        for call in ("finish", "release"):
            outage.setattr(service.ledger.leases, call, away)
        with pytest.raises(StateUnavailableError):
            service.work()
    assert service.work() == 3
    assert [document.status for document in service.ledger.documents(TENANT).items] == [DocumentStatus.INDEXED] * 3


def test_what_a_killed_process_left_is_taken_up_at_once(service: Service) -> None:
    service.accept(a="Text.")
    service.ledger.leases.claim(1, "killed@elsewhere", 3600)
    assert service.work() == 1


def test_a_submission_that_broke_off_before_the_ledger_is_made_with_its_key_later(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def submit() -> Job:
        return service.ingestion.accept(TENANT, [new("a.md", io.BytesIO(b"Text."))], key="mine")

    accept = service.ledger.accept

    def broken(*_: object, **__: object) -> Job:
        monkeypatch.setattr(service.ledger, "accept", accept)
        raise StateUnavailableError("away")

    monkeypatch.setattr(service.ledger, "accept", broken)
    with pytest.raises(StateUnavailableError):
        submit()
    first, again = submit(), submit()
    assert (first.replayed, again.replayed, again.id) == (False, True, first.id)
    assert service.work() == 1


def test_deleting_what_is_not_there(service: Service) -> None:
    with pytest.raises(NotFoundError):
        service.ledger.delete_document("nothing", TENANT)
    assert service.ingestion.delete_marked() == 0


def test_a_deletion_that_fails_is_done_later(service: Service) -> None:
    service.accept(a="Text.")
    service.work()
    service.ledger.delete_document(service.document("a.md").id, TENANT)
    delete = service.store.delete

    def crash(*_: object, **__: object) -> int:
        service.store.delete = delete  # type: ignore[method-assign]
        raise IndexUnavailableError("the index went away")

    service.store.delete = crash  # type: ignore[method-assign]
    with pytest.raises(IndexUnavailableError):
        service.work()
    service.work()
    assert service.ledger.documents(TENANT).items == ()
    assert service.store.info().passages == 0


def zipped(**files: str) -> io.BytesIO:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name, text in files.items():
            archive.writestr(f"docs/{name}.md", text)
    return target


def test_an_archive_is_accepted_as_its_members(service: Service) -> None:
    archive = zipped(a="Text of a.", b="", c="x" * (LIMIT + 1))
    job = service.ingestion.accept(TENANT, [new("all.zip", archive, year=2024)])
    service.work()
    assert service.statuses(job) == {"a.md": "indexed", "b.md": "failed", "c.md": "failed"}
    document = service.document("a.md")
    assert (document.source, dict(document.metadata)) == ("all.zip!/docs/a.md", {"year": 2024})
    assert service.document("c.md").error_code == "document_too_large"

    service.ingestion.accept(TENANT, [new("all.zip", zipped(b="Text of b."))])
    service.work()
    assert service.texts("a.md") == ["Text of a."]  # a member that is missing is not deleted
    assert service.texts("b.md") == ["Text of b."]


def test_of_two_members_with_one_name_the_last_is_taken(service: Service) -> None:
    archive = zipped(a="The first.")
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(archive, "a") as more:
        more.writestr("docs/a.md", "The last.")
    job = service.ingestion.accept(TENANT, [new("all.zip", archive)])
    service.work()
    assert [item.status for item in service.ledger.progress.items(job.id, TENANT)] == ["superseded", "indexed"]
    assert service.texts("a.md") == ["The last."]


def test_members_that_are_refused_fail_with_their_reason(service: Service) -> None:
    archive = zipped(a="Text.")
    with zipfile.ZipFile(archive, "a") as more:
        more.writestr("inner.zip", "x")
    service.ingestion.accept(TENANT, [new("all.zip", archive)])
    service.work()
    inner = service.document("inner.zip")
    assert (inner.error_code, inner.error_detail) == (
        "document_unsupported",
        "This is an archive inside of an archive: submit it by itself.",
    )


def test_a_damaged_archive_is_refused_or_fails_as_the_caller_wishes(service: Service, tmp_path: Path) -> None:
    damaged = tmp_path / "bad.zip"
    damaged.write_bytes(b"no archive")
    missing = tmp_path / "missing.tar.gz"
    documents = [new("a.md", io.BytesIO(b"Text.")), new("bad.zip", damaged), new("missing.tar.gz", missing)]
    with pytest.raises(MalformedDocumentError, match=r"The archive bad\.zip is damaged"):
        service.ingestion.accept(TENANT, documents[1:])
    job = service.ingestion.accept(TENANT, documents, strict=False)
    service.work()
    assert service.statuses(job) == {"a.md": "indexed", "bad.zip": "failed", "missing.tar.gz": "failed"}
    assert "damaged" in str(service.document("bad.zip").error_detail)
    assert "permissions" in str(service.document("missing.tar.gz").error_detail)


def test_a_replaced_text_stays_where_another_worker_is_writing_it_anew(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.accept(a="Text of a.")
    service.work()
    key = service.document("a.md").text_key
    finish = service.ledger.leases.finish
    taken: list[WorkItem] = []

    def finish_and_submit_as_before(item: WorkItem, **result: Any) -> bool:
        recorded = finish(item, **result)
        if not taken:
            service.accept(a="Text of a.")
            taken.extend(service.ledger.leases.claim(1, "elsewhere:1:x", 60))  # and writes the text
        return recorded

    monkeypatch.setattr(service.ledger.leases, "finish", finish_and_submit_as_before)
    service.accept(a="Another text.")
    service.work()
    (item,) = taken
    assert finish(item, passages=1, title="a", text_key=key)
    assert key is not None
    assert service.blobs.exists(key)
