"""Files to the Markdown-like common form."""

from indexing.convert.base import PAGE_BREAK, ConvertedDocument, SourceFile
from indexing.convert.converter import FileConverter

__all__ = ["PAGE_BREAK", "ConvertedDocument", "FileConverter", "SourceFile"]
