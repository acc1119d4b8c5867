"""The corpus of a set as an index: made on the real document path, kept between runs, resumed after a kill."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from indexing.identity import LAYOUT, document_id, document_version
from indexing.stream import Outcome, Rejected, Stream, Submission
from pipelines.core.settings import IndexSettings, Settings, StateSettings
from pipelines.core.types import DEFAULT_TENANT
from services.evaluation.sets import CorpusDocument, EvaluationSet
from services.runtime import Runtime

if TYPE_CHECKING:
    from haystack import Pipeline

    from indexing.read import OpenDocument

COMPLETE = "complete.json"
"""Names the rejected documents; there only while every other document of the corpus is in the index."""

Progress = Callable[[int, int], None]
"""Hears how many documents of how many are in the index."""


def corpus_settings(settings: Settings, evaluated: EvaluationSet, root: Path) -> Settings:
    """The settings with index, blobs and state in a folder of their own under `root`, named by all that shapes it."""
    from pipelines.core.encoders import Encoder

    index = IndexSettings(
        metadata_fields=dict.fromkeys(evaluated.adapter.metadata_fields, "keyword"),
        bm25_average_words=settings.index.bm25_average_words,
    )
    encoder = Encoder(settings.encoder)
    shaping = [evaluated.corpus_sha256, encoder.fingerprint, LAYOUT, settings.split.model_dump(), index.model_dump()]
    digest = hashlib.sha256(json.dumps(shaping, default=str).encode()).hexdigest()[:12]
    folder = root / f"{evaluated.name}-{digest}"
    return settings.model_copy(update={"data_dir": folder, "index": index, "state": StateSettings()})


class CorpusIndex:
    """Brings the corpus into a runtime's index, and takes documents out for a while."""

    def __init__(self, evaluated: EvaluationSet, runtime: Runtime) -> None:
        self._evaluated, self._runtime = evaluated, runtime
        self._marker = runtime.settings.data_dir / COMPLETE

    def ensure(self, progress: Progress) -> tuple[str, ...]:
        """Indexes what is missing; returns the ids of documents that cannot be indexed.

        Raises:
            ConflictError: another process holds this index.
        """
        store = self._runtime.store
        if not self._marker.exists():
            fresh = store.info().passages == 0
            documents = self._evaluated.corpus()
            rejected = self._add(documents if fresh else self._missing(documents), progress, resumed=not fresh)
            self._complete(rejected)
        return tuple(json.loads(self._marker.read_text())["rejected"])

    def remove(self, ids: Iterable[str]) -> None:
        """Takes documents out. A run that is killed meanwhile leaves no marker, so that the next one brings them in."""
        self._marker.unlink(missing_ok=True)
        for each in ids:
            self._runtime.store.delete(document_id(DEFAULT_TENANT, each))

    def _missing(self, documents: Iterable[CorpusDocument]) -> Iterator[CorpusDocument]:
        for document in documents:
            if self._runtime.store.published(document_id(DEFAULT_TENANT, document.id)) is None:
                yield document
            else:
                self._present += 1

    def _add(self, documents: Iterable[CorpusDocument], progress: Progress, *, resumed: bool) -> list[str]:
        rejected: list[str] = []
        self._present = 0

        def observe(outcome: Outcome) -> None:
            self._present += 1
            if isinstance(outcome, Rejected):
                rejected.append(outcome.submission.source)
            progress(self._present, self._evaluated.documents)

        stream = Stream(self._open(document, resumed) for document in documents)
        self._pipeline().run({"split": {"documents": stream}, "write": {"observer": observe}})
        progress(self._present, self._evaluated.documents)
        return rejected

    def _complete(self, rejected: list[str]) -> None:
        partial = self._marker.with_suffix(".partial")
        partial.write_text(json.dumps({"rejected": rejected}))
        partial.replace(self._marker)

    def _pipeline(self) -> "Pipeline":
        """The document path without its first step: a corpus is text already."""
        from haystack import Pipeline

        from indexing.embed import PassageEmbedder
        from indexing.split import PassageSplitter, Splitter
        from indexing.write import PassageWriter

        runtime, settings = self._runtime, self._runtime.settings
        pipeline = Pipeline()
        pipeline.add_component("split", PassageSplitter(Splitter(settings.split)))
        pipeline.add_component(
            "embed", PassageEmbedder(runtime.encoder, runtime.store, settings.ingest.batch_passages)
        )
        pipeline.add_component("write", PassageWriter(runtime.store))
        pipeline.connect("split.items", "embed.items")
        pipeline.connect("embed.batches", "write.batches")
        return pipeline

    def _open(self, document: CorpusDocument, resumed: bool) -> "OpenDocument":
        from indexing.read import OpenDocument

        settings = self._runtime.settings
        facts: Mapping[str, str] = {**document.meta, "title": document.title}
        submission = Submission(
            document_id=document_id(DEFAULT_TENANT, document.id),
            tenant=DEFAULT_TENANT,
            source=document.id,
            version=document_version(
                hashlib.sha256(document.text.encode()).hexdigest(),
                document.id,
                facts,
                split=settings.split,
                encoder=self._runtime.encoder.fingerprint,
            ),
            path=self._evaluated.corpus_path,
            name=document.id,
            title=document.title,
            metadata=dict(document.meta),
            resumed=resumed,
        )
        return OpenDocument(
            submission=submission,
            title=document.title,
            paged=False,
            metadata={},
            parts=iter((document.text,)),
            text=self._runtime.blobs.text_writer(f"{submission.document_id}-{submission.version}"),
        )
