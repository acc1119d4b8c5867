"""What Word, PowerPoint and Excel files have in common: parts, relationships, properties, charts."""

import posixpath
import zipfile
from pathlib import Path

from lxml import etree

from indexing.convert.cleaning import one_line
from indexing.convert.tables import pipe_table

_CORE = {"creator": "author"} | {name: name for name in ("created", "modified", "subject", "language")}
MAX_CHART_ROWS = 10_000


def parse_xml(data: bytes) -> etree._Element:
    """The root of an XML part. No entity is expanded, nothing is fetched.

    Raises:
        lxml.etree.XMLSyntaxError: it is not well-formed.
    """
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=True)
    return etree.fromstring(data, parser)


def local_name(element: etree._Element) -> str:
    """The element's name without its namespace, which differs between the strict and the transitional form."""
    return etree.QName(element).localname if isinstance(element.tag, str) else ""


def local(element: etree._Element, name: str) -> str:
    """An attribute by its name without namespace; empty where missing."""
    for key, value in element.attrib.items():
        if etree.QName(key).localname == name:
            return str(value)
    return ""


def find_all(element: etree._Element, *names: str) -> list[etree._Element]:
    """All elements below with one of these names, whatever their namespace, in document order."""
    return [below for below in element.iterdescendants() if local_name(below) in names]


def find(element: etree._Element, *path: str) -> etree._Element | None:
    """The first element down a path of names."""
    found: etree._Element | None = element
    for name in path:
        found = next((child for child in found if local_name(child) == name), None) if found is not None else None
    return found


def text_of(element: etree._Element) -> str:
    """All characters of an element and below."""
    return "".join(str(text) for text in element.itertext())


def core_properties(path: Path) -> tuple[str, dict[str, str]]:
    """The title and the metadata of an Office file; nothing where it says nothing."""
    try:
        with zipfile.ZipFile(path) as archive:
            root = parse_xml(archive.read("docProps/core.xml"))
    except (KeyError, etree.XMLSyntaxError):
        return "", {}
    values = {local_name(child): one_line(text_of(child)) for child in root}
    return values.get("title", ""), {name: values[key] for key, name in _CORE.items() if values.get(key)}


def relationships(archive: zipfile.ZipFile, part: str) -> dict[str, tuple[str, str]]:
    """What a part refers to inside of the file: relationship id to (kind, name of the part)."""
    folder, name = posixpath.split(part)
    try:
        root = parse_xml(archive.read(f"{folder}/_rels/{name}.rels"))
    except (KeyError, etree.XMLSyntaxError):
        return {}
    found = {}
    for relationship in root:
        if local(relationship, "TargetMode") != "External":
            target = local(relationship, "Target")
            target = (
                target.lstrip("/") if target.startswith("/") else posixpath.normpath(posixpath.join(folder, target))
            )
            found[local(relationship, "Id")] = (local(relationship, "Type").rsplit("/", 1)[-1], target)
    return found


# --- Charts --------------------------------------------------------------------------------------------------------


def chart_rows(root: etree._Element) -> list[list[str]]:
    """A chart's own copy of its data: a header with the series' names, then one row a category."""
    series = find_all(root, "ser")
    if not series:
        return []
    labels: dict[int, str] = {}
    columns: list[tuple[str, dict[int, str]]] = []
    for number, one in enumerate(series, 1):
        name = _series_name(one) or f"Series {number}"
        labels |= _points(find(one, "cat")) or _points(find(one, "xVal"))
        columns.append((name, _points(find(one, "val")) or _points(find(one, "yVal"))))
    indices = sorted({index for _, values in columns for index in values})[:MAX_CHART_ROWS]
    header = ["", *(name for name, _ in columns)]
    return [header, *([labels.get(i, str(i + 1)), *(values.get(i, "") for _, values in columns)] for i in indices)]


def chart_title(root: etree._Element) -> str:
    """The title that stands over a chart."""
    chart = find(root, "chart")
    title = find(chart, "title") if chart is not None else None
    return one_line("".join(text_of(run) for run in find_all(title, "t", "v"))) if title is not None else ""


def chart_markdown(data: bytes) -> str:
    """A chart as its title and a table of its data; empty for a chart without either."""
    try:
        root = parse_xml(data)
    except etree.XMLSyntaxError:
        return ""
    return "\n\n".join(block for block in (chart_title(root), pipe_table(chart_rows(root))) if block)


def _series_name(series: etree._Element) -> str:
    name = find(series, "tx")
    return one_line(" ".join(text_of(value) for value in find_all(name, "v"))) if name is not None else ""


def _points(element: etree._Element | None) -> dict[int, str]:
    if element is None:
        return {}
    points: dict[int, str] = {}
    for point in find_all(element, "pt"):
        value = find(point, "v")
        index = local(point, "idx")
        if value is not None and index.isdecimal():
            text = one_line(text_of(value))
            points[int(index)] = f"{points[int(index)]} {text}" if int(index) in points else _number(text)
    return points


def _number(text: str) -> str:
    try:
        value = float(text)
    except ValueError:
        return text
    return f"{value:.10g}" if abs(value) < 1e15 else text
