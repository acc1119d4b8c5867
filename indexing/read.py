"""Bytes → common form: the pipeline's first component. The converters themselves are in `indexing.convert`."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from haystack import component

from indexing.convert import FileConverter
from indexing.convert.base import ConvertedDocument, SourceFile
from indexing.stream import Rejected, Stream, Submission
from pipelines.core.errors import StrataError


class TextSink(Protocol):
    """Takes the source text of one document, piece by piece."""

    def write(self, piece: str) -> None: ...

    def commit(self) -> str:
        """Makes the text durable and returns its key."""

    def abort(self) -> None: ...


class TextBlobs(Protocol):
    """Where source texts are kept (`pipelines.core.blobs`)."""

    def text_writer(self) -> TextSink: ...


@dataclass(frozen=True, slots=True)
class OpenDocument:
    """A document being read: `parts` go into `text`, which its reader commits at their end or aborts."""

    submission: Submission
    title: str
    paged: bool
    metadata: dict[str, str]
    parts: Iterator[str]
    text: TextSink


@component
class DocumentReader:
    """Converts documents one after the other and keeps their source texts."""

    def __init__(self, converter: FileConverter, texts: TextBlobs) -> None:
        self._converter, self._texts = converter, texts

    @component.output_types(documents=Stream[OpenDocument | Rejected])
    def run(self, submissions: Stream[Submission]) -> dict[str, Stream[OpenDocument | Rejected]]:
        """Yields a document as soon as it is open; each must be read before the next is asked for."""
        return {"documents": Stream(self._open(submission) for submission in submissions)}

    def _open(self, submission: Submission) -> OpenDocument | Rejected:
        try:
            converted = self._converter.convert(SourceFile(submission.path, submission.name))
        except StrataError as error:
            return Rejected(submission, error)
        sink = self._texts.text_writer()
        return OpenDocument(
            submission=submission,
            title=submission.title or converted.title,
            paged=converted.paged,
            metadata=converted.metadata,
            parts=_keep(converted, sink),
            text=sink,
        )


def _keep(converted: ConvertedDocument, sink: TextSink) -> Iterator[str]:
    for part in converted.parts:
        sink.write(part)
        yield part
