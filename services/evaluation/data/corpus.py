"""The corpus of a set as an index: made on the real document path, kept between runs, resumed after a kill."""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from haystack import Pipeline
from haystack.core.errors import PipelineRuntimeError

from indexing.convert import SourceFile
from indexing.convert.base import PAGE_BREAK
from indexing.embed import PassageEmbedder
from indexing.identity import LAYOUT, document_id, document_version, text_name
from indexing.read import OpenDocument
from indexing.split import PassageSplitter, Splitter
from indexing.stream import Outcome, Rejected, Stream, Submission, rejected
from indexing.write import PassageWriter
from pipelines.core.encoders import Encoder
from pipelines.core.errors import DocumentError
from pipelines.core.settings import BlobSettings, IndexSettings, Settings, StateSettings
from pipelines.core.store import Schema
from pipelines.core.types import DEFAULT_TENANT
from services.evaluation.data.rows import CorpusDocument
from services.evaluation.data.sets import EvaluationSet
from services.runtime import Runtime

COMPLETE = "complete.json"
"""Names the rejected documents; there only while every other document of the corpus is in the index."""


class Progress(Protocol):
    """Hears of each document as it is found in the index or brought there, with its passages."""

    def advance(self, passages: int = 0) -> None: ...  # noqa: D102


Begin = Callable[[str, int], AbstractContextManager[Progress]]
"""Shows the progress of something over so many documents, until left."""


def corpus_settings(settings: Settings, evaluated: EvaluationSet, root: Path) -> Settings:
    """The settings with index, blobs and state in a folder of their own under `root`, named by all that shapes it."""
    index = IndexSettings(
        metadata_fields=dict.fromkeys(evaluated.adapter.metadata_fields, "keyword"),
        bm25_average_words=settings.index.bm25_average_words,
    )
    if evaluated.adapter.corpus is None:
        return settings.model_copy(update={"data_dir": root / evaluated.name, "state": StateSettings()})
    encoder = Encoder(settings.encoder)
    schema = Schema(encoder=encoder.fingerprint, dim=0)  # the width follows from the encoder: it need not be loaded
    shaping = [
        evaluated.corpus_sha256,
        dataclasses.astuple(schema),
        LAYOUT,
        settings.split.model_dump(),
        index.model_dump(),
    ]
    digest = hashlib.sha256(json.dumps(shaping, default=str).encode()).hexdigest()[:12]
    folder = root / f"{evaluated.corpus_name}-{digest}"
    own = {"data_dir": folder, "index": index, "state": StateSettings(), "blobs": BlobSettings()}
    return settings.model_copy(update=own)


class CorpusIndex:
    """Brings the corpus into a runtime's index, and takes documents out for a while."""

    def __init__(self, evaluated: EvaluationSet, runtime: Runtime) -> None:
        self._evaluated, self._runtime = evaluated, runtime
        self._marker = runtime.settings.data_dir / COMPLETE

    def ensure(self, begin: Begin) -> tuple[str, ...]:
        """Indexes what is missing; returns the ids of documents that cannot be indexed.

        Raises:
            ConflictError: another process holds this index.
            InvalidRequestError: the corpus is malformed.
        """
        store = self._runtime.store
        if not self._marker.exists():
            resumed = store.info().passages > 0
            with begin("Indexing", self._evaluated.documents) as progress:
                self._complete(self._add(self._missing(progress, resumed), progress))
        return tuple(json.loads(self._marker.read_text())["rejected"])

    def remove(self, ids: Iterable[str]) -> None:
        """Takes documents out. A run that is killed meanwhile leaves no marker, so that the next one brings them in."""
        self._marker.unlink(missing_ok=True)
        for each in ids:
            self._runtime.store.delete(document_id(DEFAULT_TENANT, each))

    def _missing(self, progress: Progress, resumed: bool) -> Iterator[CorpusDocument]:
        for document in self._evaluated.corpus():
            if resumed and self._runtime.store.published(document_id(DEFAULT_TENANT, document.id)):
                progress.advance()
            else:
                yield document

    def _add(self, documents: Iterable[CorpusDocument], progress: Progress) -> list[str]:
        rejected: list[str] = []

        def observe(outcome: Outcome) -> None:
            if isinstance(outcome, Rejected):
                rejected.append(outcome.submission.source)
                progress.advance()
            else:
                progress.advance(outcome.passages)

        stream = Stream(self._open(document) for document in documents)
        try:
            self._pipeline().run({"split": {"documents": stream}, "write": {"observer": observe}})
        except PipelineRuntimeError as error:
            raise error.__cause__ or error from None
        return rejected

    def _complete(self, rejected: list[str]) -> None:
        partial = self._marker.with_suffix(".partial")
        partial.write_text(json.dumps({"rejected": rejected}))
        partial.replace(self._marker)

    def _pipeline(self) -> Pipeline:
        """The document path after its first step: see `_open`."""
        runtime, settings = self._runtime, self._runtime.settings
        pipeline = Pipeline()
        pipeline.add_component("split", PassageSplitter(Splitter(settings.split)))
        pipeline.add_component("embed", PassageEmbedder(runtime.encoder, runtime.store, settings.ingest.batch_passages))
        pipeline.add_component("write", PassageWriter(runtime.store))
        pipeline.connect("split.items", "embed.items")
        pipeline.connect("embed.batches", "write.batches")
        return pipeline

    def _open(self, document: CorpusDocument) -> OpenDocument | Rejected:
        """A text as it stands, a file converted as the product does it."""
        settings, runtime = self._runtime.settings, self._runtime
        content = document.file.read_bytes() if document.file else document.text.encode()
        facts: Mapping[str, str] = {**document.meta, "title": document.title}
        submission = Submission(
            document_id=document_id(DEFAULT_TENANT, document.id),
            tenant=DEFAULT_TENANT,
            source=document.id,
            version=document_version(
                hashlib.sha256(content).hexdigest(),
                document.id,
                facts,
                split=settings.split,
                encoder=runtime.encoder.fingerprint,
            ),
            blob_key="",  # nothing reads it: see `_pipeline`
            name=document.id,
            title=document.title,
            metadata=dict(document.meta),
        )
        parts, paged = iter((document.text,)), PAGE_BREAK in document.text
        if document.file:
            try:
                converted = runtime.converter.convert(SourceFile(document.file, document.file.name))
            except DocumentError as error:
                return rejected(submission, error)
            parts, paged = converted.parts, converted.paged
        return OpenDocument(
            submission=submission,
            title=document.title,
            paged=paged,
            metadata={},
            parts=parts,
            text=runtime.blobs.text_writer(text_name(submission.document_id, submission.version)),
        )
