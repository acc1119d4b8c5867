"""Which format a file has: by its content first, by its name where the content does not tell."""

import re
import zipfile
from enum import StrEnum
from pathlib import Path, PurePath

from indexing.convert.base import SourceFile
from indexing.convert.cleaning import SAMPLE_BYTES, encoding_of
from indexing.convert.limits import DirectoryFile
from pipelines.core.errors import (
    EmptyDocumentError,
    EncryptedDocumentError,
    MalformedDocumentError,
    UnsupportedDocumentError,
)


class Format(StrEnum):
    """The formats that Strata reads."""

    PDF = "PDF"
    DOCX = "Word document"
    PPTX = "PowerPoint presentation"
    XLSX = "Excel workbook"
    ODF = "OpenDocument file"
    HTML = "HTML page"
    MARKDOWN = "Markdown text"
    ASCIIDOC = "AsciiDoc text"
    CSV = "CSV table"
    EML = "e-mail message"
    TEXT = "plain text"


EXTENSIONS: dict[str, Format] = {
    ".pdf": Format.PDF,
    **dict.fromkeys((".docx", ".docm", ".dotx"), Format.DOCX),
    **dict.fromkeys((".pptx", ".pptm", ".ppsx", ".potx"), Format.PPTX),
    **dict.fromkeys((".xlsx", ".xlsm", ".xltx"), Format.XLSX),
    **dict.fromkeys((".odt", ".ott", ".ods", ".odp"), Format.ODF),
    **dict.fromkeys((".html", ".htm", ".xhtml"), Format.HTML),
    **dict.fromkeys((".md", ".markdown", ".mdown", ".mdx"), Format.MARKDOWN),
    **dict.fromkeys((".adoc", ".asciidoc", ".asc"), Format.ASCIIDOC),
    **dict.fromkeys((".csv", ".tsv"), Format.CSV),
    ".eml": Format.EML,
    **dict.fromkeys((".txt", ".text", ".log"), Format.TEXT),
}
BINARY_FORMATS = frozenset({Format.PDF, Format.DOCX, Format.PPTX, Format.XLSX, Format.ODF})

_OOXML_FOLDERS = {"word/": Format.DOCX, "ppt/": Format.PPTX, "xl/": Format.XLSX}
_OLE_MAGIC = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_OLE_ENCRYPTED = "EncryptedPackage".encode("utf-16-le")
_OTHER_MAGIC = (
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"II*\x00", "a TIFF image"),
    (b"MM\x00*", "a TIFF image"),
    (b"{\\rtf", "a rich text (RTF) file: save it as .docx"),
    (b"%!PS", "a PostScript file: save it as PDF"),
    (b"\x1f\x8b", "a gzip archive: unpack it first"),
    (b"BZh", "a bzip2 archive: unpack it first"),
    (b"7z\xbc\xaf", "a 7-Zip archive: unpack it first"),
    (b"Rar!", "a RAR archive: unpack it first"),
    (b"\x7fELF", "a program"),
    (b"MZ\x90", "a program"),
)
_HTML_START = re.compile(
    rb"\s*(?:<\?xml[^>]*>\s*)?(?:<!--(?>.*?-->)\s*+)*+<(?:!doctype\s+html|html)[\s>]", re.IGNORECASE | re.DOTALL
)
_MAX_CONTROL_SHARE = 0.05
_CONTROL = re.compile(rb"[\x01-\x08\x0e-\x1a\x1c-\x1f]")


def detect(source: SourceFile) -> Format:
    """The format to read a file as. Content that is clearly another supported format than its name says wins.

    Raises:
        UnsupportedDocumentError: no converter reads this content, or it is not what the name says.
        EncryptedDocumentError: an Office file behind a password.
        EmptyDocumentError: nothing but zero bytes.
        MalformedDocumentError: a zipped format that cannot be opened.
        DocumentTooLargeError: one of too many parts.
    """
    with source.path.open("rb") as stream:
        head = stream.read(SAMPLE_BYTES)
    suffix = PurePath(source.name).suffix.lower()
    named = EXTENSIONS.get(suffix)
    found = _by_magic(source.path, head, suffix)
    if found is not None:
        return found
    _require_text(head, suffix)
    if _HTML_START.match(head) and named not in (Format.MARKDOWN, Format.EML, Format.ASCIIDOC, Format.CSV):
        return Format.HTML
    if named in BINARY_FORMATS:
        raise UnsupportedDocumentError(f"The name ends in {suffix} but the content is not a {named}.")
    return named or Format.TEXT


def _by_magic(path: Path, head: bytes, suffix: str) -> Format | None:
    if b"%PDF-" in head[:1024]:
        return Format.PDF
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _inside_zip(path)
    if head.startswith(_OLE_MAGIC):
        _refuse_ole(path)
    for magic, kind in _OTHER_MAGIC:
        if head.startswith(magic):
            claim = f"The name ends in {suffix} but the content" if suffix in EXTENSIONS else "The content"
            raise UnsupportedDocumentError(f"{claim} is {kind}.")
    return None


def _inside_zip(path: Path) -> Format:
    try:
        with DirectoryFile(path) as file, zipfile.ZipFile(file) as archive:
            names = archive.namelist()
            kind = b""
            if "mimetype" in names:
                with archive.open("mimetype") as stream:
                    kind = stream.read(200)
    except (zipfile.BadZipFile, OSError, EOFError, ValueError, NotImplementedError, RuntimeError) as error:
        raise MalformedDocumentError("The file is damaged or was cut short: its parts cannot be unpacked.") from error
    if kind.startswith(b"application/vnd.oasis.opendocument."):
        return Format.ODF
    if "[Content_Types].xml" in names:
        for folder, found in _OOXML_FOLDERS.items():
            if any(name.startswith(folder) for name in names):
                return found
    raise UnsupportedDocumentError("The content is a zip archive, not a document: unpack it first.")


def _refuse_ole(path: Path) -> None:
    with path.open("rb") as stream:
        while block := stream.read(1024 * 1024):
            if _OLE_ENCRYPTED in block:
                raise EncryptedDocumentError("The Office file is protected by a password.")
    raise UnsupportedDocumentError(
        "The content is an old binary Office file (.doc, .xls, .ppt, .msg): save it as .docx, .xlsx or .pptx."
    )


def _require_text(head: bytes, suffix: str) -> None:
    if not head.strip(b"\x00"):
        raise EmptyDocumentError("The file holds no text, only zero bytes.")
    if encoding_of(head) in ("utf-16", "utf-32"):
        return
    if b"\x00" in head or len(_CONTROL.findall(head)) > _MAX_CONTROL_SHARE * len(head):
        named = f"The name ends in {suffix} but the" if suffix in EXTENSIONS else "The"
        raise UnsupportedDocumentError(f"{named} content is binary data of no format that can be read.")
