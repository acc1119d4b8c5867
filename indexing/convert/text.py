"""Plain text."""

from indexing.convert.base import ConvertedDocument, SourceFile
from indexing.convert.cleaning import read_pieces
from pipelines.core.settings import ConvertSettings


def convert(source: SourceFile, settings: ConvertSettings) -> ConvertedDocument:
    """Stream a text as it is, whatever its encoding, in pieces of about 1 MiB."""
    return ConvertedDocument(title="", parts=read_pieces(source.path))
