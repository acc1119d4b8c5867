"""Small files of every format, made where a test needs them."""

import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from indexing.convert import ConvertedDocument, FileConverter, SourceFile
from pipelines.core.settings import ConvertSettings

W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
CONTENT_TYPES = (
    '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    '<Default Extension="xml" ContentType="application/xml"/></Types>'
)
ROOT_RELATIONSHIPS = (
    '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
    f'<Relationship Id="rId1" Type="{OFFICE}/officeDocument" Target="word/document.xml"/></Relationships>'
)


@pytest.fixture(scope="session")
def converter() -> Iterator[FileConverter]:
    with FileConverter(ConvertSettings(timeout_s=60)) as shared:
        yield shared


@pytest.fixture
def convert(converter: FileConverter, tmp_path: Path) -> Callable[..., tuple[ConvertedDocument, str]]:
    """Convert bytes, a text or a file under a name; gives the document and its whole text."""

    def run(name: str, content: bytes | str | Path) -> tuple[ConvertedDocument, str]:
        if isinstance(content, Path):
            path = content
        else:
            path = tmp_path / f"upload-{len(list(tmp_path.iterdir()))}"
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        document = converter.convert(SourceFile(path=path, name=name))
        return document, "".join(document.parts)

    return run


def write_docx(path: Path, body: str, parts: dict[str, str] | None = None) -> Path:
    """A Word document of the given body XML (prefix `w`), with further parts by name."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", CONTENT_TYPES)
        archive.writestr("_rels/.rels", ROOT_RELATIONSHIPS)
        archive.writestr("word/document.xml", f'<w:document xmlns:w="{W}"><w:body>{body}</w:body></w:document>')
        for name, xml in (parts or {}).items():
            archive.writestr(name, xml)
    return path


def paragraph(text: str, properties: str = "") -> str:
    return f"<w:p><w:pPr>{properties}</w:pPr><w:r><w:t>{text}</w:t></w:r></w:p>"


def write_odf(path: Path, body: str, kind: str = "text") -> Path:
    names = {
        prefix: f"urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"
        for prefix, name in (
            ("office", "office"), ("text", "text"), ("table", "table"), ("draw", "drawing"),
            ("style", "style"), ("presentation", "presentation"),
        )
    }  # fmt: skip
    declared = " ".join(f'xmlns:{prefix}="{name}"' for prefix, name in names.items())
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("mimetype", f"application/vnd.oasis.opendocument.{kind}")
        archive.writestr("META-INF/manifest.xml", "<manifest/>")
        archive.writestr(
            "content.xml",
            f"<office:document-content {declared}><office:body><office:{kind}>{body}</office:{kind}></office:body>"
            "</office:document-content>",
        )
    return path


def write_pdf(path: Path, pages: list[list[tuple[float, float, str, float, str]]]) -> Path:
    """A PDF of pages of lines: x and y in points, font, size, text."""
    from reportlab.lib.pagesizes import letter
    from reportlab.pdfgen.canvas import Canvas

    canvas = Canvas(str(path), pagesize=letter)
    for lines in pages:
        for x, y, font, size, text in lines:
            canvas.setFont(font, size)
            canvas.drawString(x, y, text)
        canvas.showPage()
    canvas.save()
    return path
