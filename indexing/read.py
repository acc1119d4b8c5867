"""Bytes → common form: the pipeline's first component. The converters themselves are in `indexing.convert`."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

from haystack import component

from indexing.convert import FileConverter
from indexing.convert.base import SourceFile
from indexing.identity import text_name
from indexing.stream import Rejected, Stream, Submission, rejected
from pipelines.core.blobs import BlobStore, TextWriter
from pipelines.core.tracing import span


@dataclass(frozen=True, slots=True)
class OpenDocument:
    """A document being read: whoever reads `parts` writes them to `text`."""

    submission: Submission
    title: str
    paged: bool
    metadata: dict[str, str]
    parts: Iterator[str]
    text: TextWriter


@component
class DocumentReader:
    """Converts documents one after the other and keeps their source texts."""

    def __init__(self, converter: FileConverter, blobs: BlobStore) -> None:
        self._converter, self._blobs = converter, blobs

    @component.output_types(documents=Stream[OpenDocument | Rejected])
    def run(self, submissions: Stream[Submission]) -> dict[str, Stream[OpenDocument | Rejected]]:
        """Yields a document as soon as it is open; each must be read before the next is asked for."""
        return {"documents": Stream(self._documents(submissions))}

    def _documents(self, submissions: Iterable[Submission]) -> Iterator[OpenDocument | Rejected]:
        for submission in submissions:
            with ExitStack() as stack:  # a local copy lasts until the next document is asked for
                yield self._open(submission, stack)

    def _open(self, submission: Submission, stack: ExitStack) -> OpenDocument | Rejected:
        try:
            path = stack.enter_context(self._blobs.local(submission.blob_key))
            with span("convert", {"strata.document_id": submission.document_id}):
                converted = self._converter.convert(SourceFile(path, submission.name))
        except Exception as error:  # one document's boundary: a parser may raise anything
            return rejected(submission, error)
        return OpenDocument(
            submission=submission,
            title=submission.title or converted.title,
            paged=converted.paged,
            metadata=converted.metadata,
            parts=converted.parts,
            text=self._blobs.text_writer(text_name(submission.document_id, submission.version)),
        )
