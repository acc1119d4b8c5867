"""The whole document path: bytes → convert → split → embed → write.

Read it top to bottom. The components pass lazy streams, so one run takes any number of documents of any size in bounded
memory; the writer at the end pulls, and tells the observer of each document as it ends.
"""

from collections.abc import Iterable

from haystack import Pipeline
from haystack.core.errors import PipelineRuntimeError

from indexing.convert import FileConverter
from indexing.embed import PassageEmbedder
from indexing.read import DocumentReader
from indexing.split import PassageSplitter, Splitter
from indexing.stream import Observer, Stream, Submission, Wanted
from indexing.write import IngestSummary, PassageWriter
from pipelines.core.blobs import BlobStore
from pipelines.core.encoders import Encoder
from pipelines.core.settings import Settings
from pipelines.core.store import Store


def build_ingest_pipeline(
    settings: Settings, *, converter: FileConverter, blobs: BlobStore, encoder: Encoder, store: Store
) -> Pipeline:
    """Builds the document path from its parts."""
    pipeline = Pipeline()
    pipeline.add_component("convert", DocumentReader(converter, blobs))
    pipeline.add_component("split", PassageSplitter(Splitter(settings.split)))
    pipeline.add_component("embed", PassageEmbedder(encoder, store, settings.ingest.batch_passages))
    pipeline.add_component("write", PassageWriter(store))

    pipeline.connect("convert.documents", "split.documents")
    pipeline.connect("split.items", "embed.items")
    pipeline.connect("embed.batches", "write.batches")
    return pipeline


def ingest(
    pipeline: Pipeline, submissions: Iterable[Submission], observer: Observer, wanted: Wanted | None = None
) -> IngestSummary:
    """Indexes documents, telling the observer of each as it ends: indexed, or rejected with a reason.

    Ingesting the same version again changes nothing and resumes where an interrupted run stopped.

    Args:
        wanted: Keeps off whoever lost a document to another process; without it there is none.

    Raises:
        StrataError: the index or the state could not be used; documents not yet told of are untouched.
    """
    data = {"convert": {"submissions": Stream(submissions)}, "write": {"observer": observer, "wanted": wanted}}
    try:
        summary: IngestSummary = pipeline.run(data)["write"]["summary"]
    except PipelineRuntimeError as error:
        raise error.__cause__ or error from None
    return summary
