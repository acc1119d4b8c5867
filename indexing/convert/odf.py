"""OpenDocument texts, spreadsheets and presentations: their XML as HTML elements, which `render` writes as Markdown."""

import zipfile
from collections.abc import Iterator

from lxml import etree
from lxml.html import HtmlElement, builder

from indexing.convert.base import ConvertedDocument, SourceFile
from indexing.convert.cleaning import join_pages, one_line
from indexing.convert.ooxml import chart_title, find, find_all, local, local_name, parse_xml, text_of
from indexing.convert.render import MAX_SPAN, render
from pipelines.core.errors import EncryptedDocumentError, MalformedDocumentError
from pipelines.core.settings import ConvertSettings

MAX_REPEATS = 1000  # spreadsheets fill their last row and column to the edge with one repeated cell

_SKIPPED = frozenset(
    [
        "annotation",
        "annotation-end",
        "tracked-changes",
        "sequence-decls",
        "forms",
        "bookmark",
        "bookmark-start",
        "bookmark-end",
        "soft-page-break",
        "notes",
        "event-listeners",
    ]
)
_TITLE_STYLES = {"Title": 1, "Subtitle": 2}
_META = {"creator": "author", "initial-creator": "author", "creation-date": "created", "date": "modified"}


def convert(source: SourceFile, settings: ConvertSettings) -> ConvertedDocument:
    """Convert an OpenDocument file; each slide of a presentation is a page.

    Raises:
        EncryptedDocumentError: it needs a password.
        MalformedDocumentError: it has no readable content.
    """
    try:
        with zipfile.ZipFile(source.path) as archive:
            if b"encryption-data" in archive.read("META-INF/manifest.xml"):
                raise EncryptedDocumentError("The document is protected by a password.")
            content = parse_xml(archive.read("content.xml"))
            meta = parse_xml(archive.read("meta.xml")) if "meta.xml" in archive.namelist() else None
            charts = _charts(archive)
    except (KeyError, etree.XMLSyntaxError) as error:
        raise MalformedDocumentError("The OpenDocument file is damaged: its content is missing or broken.") from error
    body = find(content, "body")
    if body is None or not len(body):
        raise MalformedDocumentError("The OpenDocument file is damaged: it has no body.")
    translator = _Translator(content, charts)
    title, metadata = _metadata(meta)
    if local_name(body[0]) == "presentation":
        pages = (render(translator.slide(page)) for page in body[0] if local_name(page) == "page")
        return ConvertedDocument(title=title, parts=join_pages(pages), paged=True, metadata=metadata)
    text = render(builder.DIV(*translator.children(body[0])))
    return ConvertedDocument(title=title, parts=join_pages([text]), metadata=metadata)


def _metadata(meta: etree._Element | None) -> tuple[str, dict[str, str]]:
    title = ""
    metadata: dict[str, str] = {}
    for element in [] if meta is None else meta.iterdescendants():
        name, text = local_name(element), one_line(element.text or "")
        if name == "title":
            title = text
        elif name in _META and text:
            metadata.setdefault(_META[name], text)
    return title, metadata


def _charts(archive: zipfile.ZipFile) -> dict[str, etree._Element]:
    """The embedded objects of a document by their folder."""
    names = (name for name in archive.namelist() if name.startswith("Object ") and name.endswith("/content.xml"))
    return {name.split("/")[0]: parse_xml(archive.read(name)) for name in names}


class _Translator:
    """Turns elements of a document's body into HTML elements."""

    def __init__(self, content: etree._Element, objects: dict[str, etree._Element]) -> None:
        self._objects = objects
        self._parents: dict[str, str] = {}
        self._ordered: set[str] = set()
        for style in find_all(content, "style"):
            self._parents[local(style, "name")] = local(style, "parent-style-name")
        for style in find_all(content, "list-style"):
            if len(style) and local_name(style[0]) == "list-level-style-number":
                self._ordered.add(local(style, "name"))

    def children(self, element: etree._Element) -> Iterator[HtmlElement]:
        """The HTML of all elements directly below."""
        for child in element:
            yield from self._block(child)

    def slide(self, page: etree._Element) -> HtmlElement:
        """A slide: its title first, then its other frames in order."""
        frames = sorted(
            (child for child in page if local_name(child) not in ("forms", "notes")),
            key=lambda frame: local(frame, "class") not in ("title",),
        )
        blocks: list[HtmlElement] = []
        for frame in frames:
            inner = list(self._block(frame))
            if local(frame, "class") == "title":
                inner = [builder.H1(one_line(" ".join(text_of(block) for block in inner)))]
            blocks.extend(inner)
        return builder.DIV(*blocks)

    def _block(self, element: etree._Element) -> Iterator[HtmlElement]:
        name = local_name(element)
        if name in _SKIPPED or not name:
            return
        if name == "h":
            level = local(element, "outline-level")
            yield self._filled(f"h{min(max(int(level), 1), 6) if level.isdecimal() else 1}", element)
        elif name == "p":
            yield self._filled(self._paragraph_tag(element), element)
        elif name == "list":
            yield self._list(element)
        elif name == "table":
            if not element.xpath("ancestor::*[local-name()='text']") and local(element, "name"):
                yield builder.H2(local(element, "name"))
            yield self._table(element)
        elif name == "object":
            yield from self._object(element)
        else:
            yield from self.children(element)

    def _paragraph_tag(self, element: etree._Element) -> str:
        style = local(element, "style-name")
        for _ in range(10):  # styles may inherit in a circle
            if style in _TITLE_STYLES:
                return f"h{_TITLE_STYLES[style]}"
            style = self._parents.get(style, "")
        return "p"

    def _filled(self, tag: str, element: etree._Element) -> HtmlElement:
        html = builder.E(tag)
        self._inline(element, html)
        return html

    def _inline(self, element: etree._Element, html: HtmlElement) -> None:
        _append(html, element.text or "")
        for child in element:
            name = local_name(child)
            if name in ("s", "tab"):
                _append(html, " ")
            elif name == "line-break":
                html.append(builder.BR())
            elif name in ("frame", "table", "list", "custom-shape", "text-box", "g"):
                html.extend(self._block(child))
            elif name == "note":
                _append(html, f" ({one_line(text_of(child))})")
            elif name and name not in _SKIPPED:
                self._inline(child, html)
            _append(html, child.tail or "")

    def _list(self, element: etree._Element) -> HtmlElement:
        style = local(element, "style-name")
        ancestor = element
        while not style and (ancestor := ancestor.getparent()) is not None:
            style = local(ancestor, "style-name") if local_name(ancestor) == "list" else ""
        items = [child for child in element if local_name(child) in ("list-item", "list-header")]
        html = builder.OL() if style in self._ordered else builder.UL()
        html.extend(builder.LI(*self.children(item)) for item in items)
        return html

    def _table(self, element: etree._Element) -> HtmlElement:
        html = builder.TABLE()
        for row in self._rows(element):
            cells = list(self._cells(row))
            while cells and not text_of(cells[-1]).strip() and not cells[-1].get("colspan"):
                cells.pop()
            repeats = _repeats(row, "number-rows-repeated") if cells else 1
            html.extend(builder.TR(*(list(self._cells(row))[: len(cells)])) for _ in range(repeats))
        return html

    def _rows(self, element: etree._Element) -> Iterator[etree._Element]:
        for child in element:
            if local_name(child) == "table-row":
                yield child
            elif local_name(child) in ("table-header-rows", "table-rows", "table-row-group"):
                yield from self._rows(child)

    def _cells(self, row: etree._Element) -> Iterator[HtmlElement]:
        for cell in row:
            if local_name(cell) != "table-cell":  # covered cells are those that a spanning one hides
                continue
            for _ in range(_repeats(cell, "number-columns-repeated")):
                html = builder.TD(*self.children(cell))
                for ours, theirs in (("colspan", "number-columns-spanned"), ("rowspan", "number-rows-spanned")):
                    span = local(cell, theirs)
                    if span.isdecimal() and int(span) > 1:
                        html.set(ours, str(min(int(span), MAX_SPAN)))
                yield html

    def _object(self, element: etree._Element) -> Iterator[HtmlElement]:
        content = self._objects.get(local(element, "href").removeprefix("./"))
        if content is not None:
            if title := chart_title(content):
                yield builder.P(title)
            for table in find_all(content, "table"):
                yield self._table(table)


def _repeats(element: etree._Element, name: str) -> int:
    value = local(element, name)
    count = int(value) if value.isdecimal() else 1
    return count if 1 <= count <= MAX_REPEATS else 1


def _append(html: HtmlElement, text: str) -> None:
    if not text:
        return
    text = "".join(character for character in text if character >= " " or character in "\t\n")
    if len(html):
        html[-1].tail = (html[-1].tail or "") + text
    else:
        html.text = (html.text or "") + text
