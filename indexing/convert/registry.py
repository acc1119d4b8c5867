"""Which converter reads which format, and whether it needs a process of its own."""

from collections.abc import Callable
from importlib import import_module

from indexing.convert.base import ConvertedDocument, SourceFile
from indexing.convert.sniff import Format
from pipelines.core.settings import ConvertSettings

FormatConverter = Callable[[SourceFile, ConvertSettings], ConvertedDocument]

_MODULES = {
    Format.PDF: "pdf",
    Format.DOCX: "docx",
    Format.PPTX: "pptx",
    Format.XLSX: "xlsx",
    Format.ODF: "odf",
    Format.HTML: "html",
    Format.MARKDOWN: "markdown",
    Format.ASCIIDOC: "asciidoc",
    Format.CSV: "csv",
    Format.EML: "eml",
    Format.TEXT: "text",
}
ISOLATED = frozenset(Format) - {Format.TEXT, Format.MARKDOWN, Format.CSV}
"""Formats whose parsers hold the whole file and can hang or crash: read in another process. The others are streamed."""

ZIPPED = frozenset({Format.DOCX, Format.PPTX, Format.XLSX, Format.ODF})


def converter_of(kind: Format) -> FormatConverter:
    """The converter of a format. Its module, and the libraries that it needs, load on first use."""
    function: FormatConverter = import_module(f"indexing.convert.{_MODULES[kind]}").convert
    return function
