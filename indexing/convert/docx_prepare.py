"""What a Word document shows and mammoth does not read, written into its XML as plain runs and tables.

Equations (as LaTeX, by markitdown's translation), the numbers of headings and list items, the data of charts. Pictures
are taken out, so that a link to one elsewhere is never followed.
"""

import io
import posixpath
import zipfile
from pathlib import Path
from xml.etree import ElementTree as ET

from lxml import etree

from indexing.convert.cleaning import one_line
from indexing.convert.docx_numbering import Numbering
from indexing.convert.ooxml import (
    chart_rows,
    chart_title,
    find,
    find_all,
    local,
    local_name,
    parse_xml,
    relationships,
    text_of,
)

NUMBER_START, NUMBER_END = "\ue000", "\ue001"
"""Private characters around a computed number, until the Markdown is written and they are taken out again."""

_SKIPPED = ("word/media/", "word/embeddings/", "word/fonts/", "word/charts/")


def prepare(path: Path) -> bytes:
    """The document as mammoth can read all of it."""
    with zipfile.ZipFile(path) as archive:
        names = set(archive.namelist())
        main = _main_part(archive)
        members = {name: archive.read(name) for name in names if not name.startswith(_SKIPPED)}
        if main in members:
            root = parse_xml(members[main])
            _write_charts(root, archive, main)
            _keep_one_alternative(root)
            _write_equations(root)
            _drop_pictures(root)
            folder = posixpath.dirname(main)
            parts = [members.get(f"{folder}/{name}.xml") for name in ("numbering", "styles")]
            _write_numbers(root, Numbering.of(*(parse_xml(part) if part else None for part in parts)))
            members[main] = etree.tostring(root, encoding="UTF-8", xml_declaration=True)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def _main_part(archive: zipfile.ZipFile) -> str:
    targets = relationships(archive, "")
    return next((target for kind, target in targets.values() if kind == "officeDocument"), "word/document.xml")


def _w(like: etree._Element, name: str, *children: etree._Element, text: str = "") -> etree._Element:
    """An element in the same form (strict or transitional) of the Word namespace as the document's root."""
    element = etree.Element(f"{{{etree.QName(like.getroottree().getroot()).namespace}}}{name}")
    element.extend(children)
    element.text = text or None
    return element


def _run(like: etree._Element, text: str) -> etree._Element:
    run = _w(like, "r", _w(like, "t", text=text))
    run[0].set("{http://www.w3.org/XML/1998/namespace}space", "preserve")
    return run


# --- Equations -----------------------------------------------------------------------------------------------------


def _write_equations(root: etree._Element) -> None:
    for equation in find_all(root, "oMath"):
        parent = equation.getparent()
        if parent is None:
            continue
        is_block = local_name(parent) == "oMathPara"
        mark = "$$" if is_block else "$"
        run = _run(root, f"{mark}{_latex(equation)}{mark}")
        run.tail = equation.tail
        parent.replace(equation, run)
    for block in find_all(root, "oMathPara"):
        parent = block.getparent()
        if parent is None:
            continue
        position = parent.index(block)
        for child in [child for child in block if local_name(child) == "r"]:
            parent.insert(position, child)
            position += 1
        parent.remove(block)


def _latex(equation: etree._Element) -> str:
    from markitdown.converter_utils.docx.math.omml import oMath2Latex

    try:
        element = ET.fromstring(etree.tostring(equation, with_tail=False))  # noqa: S314  # parsed before, no entities
        return one_line(str(oMath2Latex(element).latex))
    except Exception:  # it raises bare exceptions for what it does not know; the characters remain
        return one_line(" ".join(text_of(text) for text in find_all(equation, "t")))


# --- Numbers -------------------------------------------------------------------------------------------------------


def _keep_one_alternative(root: etree._Element) -> None:
    """Text boxes are stored twice, for newer and older readers. Mammoth reads the `Fallback` alone."""
    for choice in find_all(root, "Choice"):
        parent = choice.getparent()
        if parent is not None and find(parent, "Fallback") is None:
            choice.tag = f"{{{etree.QName(choice).namespace}}}Fallback"
        else:
            choice.clear()


def _write_numbers(root: etree._Element, numbering: Numbering) -> None:
    for paragraph in find_all(root, "p"):
        if etree.QName(paragraph).namespace != etree.QName(root).namespace or not text_of(paragraph).strip():
            continue
        if number := numbering.next(paragraph):
            position = 1 if len(paragraph) and local_name(paragraph[0]) == "pPr" else 0
            paragraph.insert(position, _run(root, f"{NUMBER_START}{number}{NUMBER_END} "))


# --- Pictures and charts -------------------------------------------------------------------------------------------


def _write_charts(root: etree._Element, archive: zipfile.ZipFile, main: str) -> None:
    targets = relationships(archive, main)
    names = set(archive.namelist())
    for chart in find_all(root, "chart"):
        target = targets.get(local(chart, "id"), ("", ""))[1]
        paragraph = next((above for above in chart.iterancestors() if local_name(above) == "p"), None)
        if target not in names or paragraph is None:
            continue
        data = parse_xml(archive.read(target))
        table = [[_w(root, "tc", _w(root, "p", _run(root, cell))) for cell in row] for row in chart_rows(data)]
        rows = [_w(root, "tr", *cells) for cells in table]
        if rows:
            paragraph.addnext(_w(root, "tbl", *rows))
        if title := chart_title(data):
            paragraph.addnext(_w(root, "p", _run(root, title)))


def _drop_pictures(root: etree._Element) -> None:
    for element in find_all(root, "blip", "imagedata"):
        picture = next((above for above in element.iterancestors() if local_name(above) == "pic"), element)
        parent = picture.getparent()
        if parent is not None and find(picture, "txbx") is None:
            parent.remove(picture)
