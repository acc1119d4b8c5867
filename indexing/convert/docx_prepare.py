"""What a Word document shows and mammoth does not read, written into its XML as plain runs and tables.

Equations (by markitdown), the numbers of numbered headings, charts. Links to pictures elsewhere are taken out.
"""

import io
import zipfile
from pathlib import Path

from lxml import etree

from indexing.convert.ooxml import find_all, local_name, parse_xml

_DOCUMENT = "word/document.xml"


def prepare(path: Path) -> bytes:
    """The document with equations as text, as mammoth can read it."""
    from markitdown.converter_utils.docx.pre_process import pre_process_docx

    with zipfile.ZipFile(path) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist() if not _is_media(info.filename)}
    if _DOCUMENT in members:
        root = parse_xml(members[_DOCUMENT])
        _drop_pictures(root)
        members[_DOCUMENT] = etree.tostring(root, encoding="UTF-8", xml_declaration=True)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    buffer.seek(0)
    return pre_process_docx(buffer).getvalue()  # type: ignore[no-any-return]


def _is_media(name: str) -> bool:
    return name.startswith(("word/media/", "word/embeddings/", "word/fonts/"))


def _drop_pictures(root: etree._Element) -> None:
    """Take references to pictures out: their data is not kept, and a linked one is never fetched."""
    for element in find_all(root, "pic", "imagedata"):
        parent = element.getparent()
        if parent is not None and local_name(parent) in ("graphicData", "shape", "rect", "wgp", "grpSp"):
            parent.remove(element)
