"""The whole document path on a real embedded index, with a small stand-in for the encoder."""

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from indexing.convert import FileConverter
from indexing.identity import document_id, document_version
from indexing.ingest import build_ingest_pipeline, ingest
from indexing.stream import Indexed, Outcome, Rejected, Submission
from indexing.write import IngestSummary
from pipelines.core.blobs import FolderBlobs
from pipelines.core.errors import IndexUnavailableError
from pipelines.core.settings import ConvertSettings, IndexSettings, IngestSettings, Settings, SplitSettings
from pipelines.core.store import Fusion, RankedQuery, Schema, Store, make_store
from tests.support.hash_encoder import HashEncoder

LONG = "\n\n".join(f"# Section {n}\n\nThe {n}th fact about bridges is told here in full." for n in range(40))


@pytest.fixture
def folder() -> Iterator[Path]:
    """In memory where the system has that: nothing here is about the time that a disk takes."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as path:
        yield Path(path)


class Ingest:
    """The document path with its parts at hand."""

    def __init__(self, folder: Path, *, batch: int = 8) -> None:
        self.settings = Settings(split=SplitSettings(max_words=20), ingest=IngestSettings(batch_passages=batch))
        self.folder = folder
        self.encoder = HashEncoder()
        self.blobs = FolderBlobs(folder / "blobs")
        schema = Schema(self.encoder.fingerprint, self.encoder.dim)
        self.store: Store = make_store(IndexSettings(), folder, schema).open()
        self.converter = FileConverter(ConvertSettings())
        self.pipeline = build_ingest_pipeline(
            self.settings, converter=self.converter, blobs=self.blobs, encoder=self.encoder, store=self.store
        )
        self.outcomes: list[Outcome] = []

    def submission(self, name: str, text: str | bytes, *, title: str | None = None) -> Submission:
        content = text if isinstance(text, bytes) else text.encode()
        blob = self.blobs.put([content])
        version = document_version(blob.sha256, name, {}, split=self.settings.split, encoder=self.encoder.fingerprint)
        return Submission(
            document_id=document_id("default", name),
            tenant="default",
            source=name,
            version=version,
            blob_key=blob.key,
            name=name,
            title=title,
            metadata={"year": 2024},
        )

    def ingest(self, *submissions: Submission) -> IngestSummary:
        self.outcomes = []
        return ingest(self.pipeline, submissions, self.outcomes.append)

    def texts(self, name: str) -> list[str]:
        return [passage.text for passage in self.store.passages(document_id("default", name))]

    def found(self, query: str) -> set[str]:
        vector = self.encoder.embed([query]).vectors[0]
        hits = self.store.search([RankedQuery(query, vector)], limit=50, fusion=Fusion())
        return {hit.passage.source for hit in hits}

    def close(self) -> None:
        self.converter.close()
        self.store.close()


@pytest.fixture
def path(folder: Path) -> Iterator[Ingest]:
    made = Ingest(folder)
    yield made
    made.close()


def test_a_document_is_found_and_its_source_text_kept(path: Ingest) -> None:
    submission = path.submission("a.md", "# Bridges\n\nThe Millau viaduct is 336 metres tall.\n", title="My title")
    summary = path.ingest(submission)
    assert summary == IngestSummary(indexed=1, failed=0, passages=1, embedded=1)
    (outcome,) = path.outcomes
    assert isinstance(outcome, Indexed)
    assert (outcome.title, outcome.passages, outcome.embedded) == ("My title", 1, 1)
    (passage,) = path.store.passages(submission.document_id)
    assert path.blobs.read_span(outcome.text_key, passage.start, passage.end) == passage.text
    assert (passage.title, passage.section_path, passage.metadata["year"]) == ("My title", ("Bridges",), 2024)
    assert path.encoder.texts == [f"{passage.context}\n{passage.text}"]
    assert path.found("millau viaduct") == {"a.md"}


def test_nothing_in_nothing_out(path: Ingest) -> None:
    assert path.ingest() == IngestSummary()
    assert (path.outcomes, path.encoder.texts) == ([], [])


def test_ingesting_again_changes_nothing(path: Ingest) -> None:
    path.ingest(path.submission("a.md", LONG))
    before, info = path.texts("a.md"), path.store.info()
    embedded = len(path.encoder.texts)
    summary = path.ingest(path.submission("a.md", LONG))
    assert (summary.indexed, summary.embedded, len(path.encoder.texts)) == (1, 0, embedded)
    assert (path.texts("a.md"), path.store.info()) == (before, info)


def test_a_changed_document_replaces_its_old_passages(path: Ingest) -> None:
    path.ingest(path.submission("a.md", LONG))
    path.ingest(path.submission("a.md", "Only tunnels now."))
    assert path.texts("a.md") == ["Only tunnels now."]
    assert path.store.info().passages == 1


def test_a_reader_never_sees_a_mix_of_versions(path: Ingest) -> None:
    path.ingest(path.submission("a.md", LONG))
    seen: list[list[str]] = []
    embed = path.encoder.embed

    def looking(texts: list[str]) -> object:
        seen.append(path.texts("a.md"))
        return embed(texts)

    path.encoder.embed = looking  # type: ignore[method-assign,assignment]
    path.ingest(path.submission("a.md", LONG.replace("bridges", "tunnels")))
    assert len(seen) > 2
    assert all("bridges" in text for texts in seen for text in texts)
    assert all("tunnels" in text for text in path.texts("a.md"))


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param("", id="empty"),
        pytest.param("\n \n\f\n", id="blank"),
        pytest.param("---\n\n***\n", id="no words"),
        pytest.param(b"\x00\x01\x02\x03" * 100, id="binary"),
        pytest.param(LONG.encode() + b"\n\n" + "\ud800".encode("utf-8", "surrogatepass"), id="surrogate"),
    ],
)
def test_a_bad_file_among_good_ones_ends_alone(path: Ingest, bad: str | bytes) -> None:
    names = ["a.md", "bad.md", "b.md"]
    path.ingest(*(path.submission(name, bad if name == "bad.md" else f"Text of {name}.") for name in names))
    ends = {outcome.submission.name: outcome for outcome in path.outcomes}
    assert isinstance(ends["a.md"], Indexed)
    assert isinstance(ends["b.md"], Indexed)
    if isinstance(ends["bad.md"], Rejected):
        assert ends["bad.md"].error.detail
        assert path.texts("bad.md") == []
    else:
        assert path.texts("bad.md")


def test_a_parser_that_fails_in_an_unforeseen_way_costs_one_document(
    path: Ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    convert = FileConverter.convert

    def failing(self: FileConverter, source: object) -> object:
        name = source.name  # type: ignore[attr-defined]
        if name == "at-once.md":
            raise KeyError("quoted text of the document")
        document = convert(self, source)  # type: ignore[arg-type]
        before = document.parts

        def parts() -> Iterator[str]:
            yield from before
            if name == "later.md":
                raise RecursionError("quoted text of the document")

        return replace(document, parts=parts())

    monkeypatch.setattr(FileConverter, "convert", failing)
    summary = path.ingest(*(path.submission(name, LONG) for name in ("at-once.md", "later.md", "good.md")))
    assert (summary.indexed, summary.failed) == (1, 2)
    errors = [outcome.error for outcome in path.outcomes if isinstance(outcome, Rejected)]
    assert [error.code for error in errors] == ["document_malformed"] * 2
    assert "quoted" not in "".join(error.detail for error in errors)
    assert path.texts("later.md") == []


def test_a_disk_that_fails_is_no_fault_of_the_document(path: Ingest, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pipelines.core.blobs.folder.FolderTextWriter.write", full)
    with pytest.raises(OSError, match="No space left"):
        path.ingest(path.submission("a.md", "text"))
    assert path.outcomes == []


def test_a_version_that_fails_leaves_the_old_one(path: Ingest, monkeypatch: pytest.MonkeyPatch) -> None:
    path.ingest(path.submission("a.md", "Old text."))
    write = "pipelines.core.blobs.folder.FolderTextWriter.write"
    calls: list[str] = []

    def failing(self: object, piece: str) -> None:
        calls.append(piece)
        if len(calls) > 1:
            raise ValueError("half-way")

    monkeypatch.setattr(write, failing)
    monkeypatch.setattr("indexing.convert.markdown._batched", lambda lines: iter(["# One\n\n" + LONG, "more text\n"]))
    summary = path.ingest(path.submission("a.md", "New text."))
    assert (summary.failed, summary.embedded > 8) == (1, True), "passages were staged before it failed"
    assert path.texts("a.md") == ["Old text."]
    assert path.store.info().passages == 1


def test_a_crash_before_publishing_embeds_nothing_again(path: Ingest) -> None:
    publish = path.store.publish

    def crash(*_: object) -> int:
        raise IndexUnavailableError("the index went away")

    path.store.publish = crash  # type: ignore[method-assign]
    with pytest.raises(IndexUnavailableError, match="went away"):
        path.ingest(path.submission("a.md", LONG))
    path.store.publish = publish  # type: ignore[method-assign]
    assert path.texts("a.md") == []
    embedded = len(path.encoder.texts)
    summary = path.ingest(path.submission("a.md", LONG))
    assert (summary.embedded, len(path.encoder.texts)) == (0, embedded)
    assert summary.passages == len(path.texts("a.md")) == embedded


def test_a_crash_half_way_embeds_only_the_rest(path: Ingest) -> None:
    write, batches = path.store.write, []

    def crash(passages: list) -> None:
        batches.append(len(passages))
        if len(batches) == 3:
            raise IndexUnavailableError("the index went away")
        write(passages)

    path.store.write = crash  # type: ignore[method-assign,assignment]
    with pytest.raises(IndexUnavailableError):
        path.ingest(path.submission("a.md", LONG))
    path.store.write = write  # type: ignore[method-assign]
    path.encoder.texts.clear()
    summary = path.ingest(path.submission("a.md", LONG))
    assert summary.passages - summary.embedded == 16
    assert len(path.encoder.texts) == len(set(path.encoder.texts)) == summary.embedded


def test_documents_smaller_and_larger_than_a_batch(path: Ingest) -> None:
    names = {"long.md": LONG, "short.md": "Short.", "longer.md": LONG + "\n\n" + LONG, "last.md": "Last."}
    summary = path.ingest(*(path.submission(name, text) for name, text in names.items()))
    assert [outcome.submission.name for outcome in path.outcomes] == list(names)
    counted = {outcome.submission.name: outcome.embedded for outcome in path.outcomes if isinstance(outcome, Indexed)}
    assert counted == {name: len(path.texts(name)) for name in names}
    assert sum(counted.values()) == summary.passages == summary.embedded


def test_a_document_deleted_while_it_is_indexed_does_not_stop_the_others(path: Ingest) -> None:
    write, gone = path.store.write, document_id("default", "gone.md")

    def deleting(passages: list) -> None:
        write(passages)
        path.store.delete(gone)

    path.store.write = deleting  # type: ignore[method-assign,assignment]
    summary = path.ingest(path.submission("gone.md", "Gone."), path.submission("a.md", "Stays."))
    assert (summary.indexed, summary.failed) == (1, 1)
    (rejected,) = (outcome for outcome in path.outcomes if isinstance(outcome, Rejected))
    assert (rejected.submission.name, rejected.error.code) == ("gone.md", "document_replaced")


def test_many_tiny_documents(folder: Path) -> None:
    path = Ingest(folder, batch=256)
    try:
        pulled: list[int] = []

        def submissions() -> Iterator[Submission]:
            for n in range(600):
                pulled.append(n)
                yield path.submission(f"{n}.txt", f"Fact number {n}.")

        waiting = []
        summary = ingest(path.pipeline, submissions(), lambda _: waiting.append(len(pulled) - len(waiting)))
        assert (summary.indexed, path.store.info().passages) == (600, 600)
        assert max(waiting) <= 2 * 256 + 1, "documents are read as they are needed, not all at once"
    finally:
        path.close()
