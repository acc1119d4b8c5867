"""HTML pages.

trafilatura knows where pages keep their title, author and date; its text extraction is made for articles and drops
headings, lists and whole tables of short pages, so the text itself is a walk over the tree (`render`).
"""

import re
from html import escape
from html.parser import HTMLParser

from lxml import etree
from lxml import html as lxml_html

from indexing.convert.base import ConvertedDocument, SourceFile
from indexing.convert.cleaning import SAMPLE_BYTES, clean, encoding_of, one_line, tidy
from indexing.convert.render import render
from pipelines.core.errors import EmptyDocumentError
from pipelines.core.settings import ConvertSettings

_META_CHARSET = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([\w.:-]{1,40})", re.IGNORECASE)
_XML_DECLARATION = re.compile(r"^\s*<\?xml[^>]*\?>")
_METADATA = ("author", "date", "sitename", "description", "language")


def convert(source: SourceFile, settings: ConvertSettings) -> ConvertedDocument:
    """Convert a page; nothing that it refers to is fetched."""
    text = decode(source.path.read_bytes())
    tree = parse(text)
    metadata = _metadata(tree)
    title = one_line(tree.findtext(".//title") or "") or metadata.pop("title", "")
    return ConvertedDocument(title=title, parts=iter([to_markdown(tree)]), metadata=metadata)


def decode(data: bytes) -> str:
    """The text of a page: by byte order mark, by what its head declares, by its bytes."""
    encoding = encoding_of(data[:SAMPLE_BYTES])
    declared = _META_CHARSET.search(data[:4096])
    if declared and encoding not in ("utf-8", "utf-16", "utf-32"):
        encoding = declared[1].decode("ascii")
    try:
        return data.decode(encoding, errors="strata_cp1252" if encoding == "utf-8" else "replace")
    except LookupError:
        return data.decode("cp1252", errors="replace")


def parse(text: str) -> lxml_html.HtmlElement:
    """The tree of a page.

    Raises:
        EmptyDocumentError: there is no element in it.
    """
    text = _XML_DECLARATION.sub("", clean(text))
    parser = lxml_html.HTMLParser(no_network=True, remove_comments=True, remove_pis=True, huge_tree=True)
    try:
        tree = lxml_html.document_fromstring(text, parser=parser)
    except (etree.ParserError, etree.XMLSyntaxError) as error:
        raise EmptyDocumentError("The HTML page holds no text.") from error
    if any("depth" in str(entry.message) for entry in parser.error_log):  # there libxml2 stopped reading
        return lxml_html.document_fromstring(f"<p>{escape(_words(text))}</p>")
    return tree


class _Words(HTMLParser):
    """Collects the text of a page without building a tree."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self._skipped = 0

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self._skipped += tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:
        self._skipped -= tag in ("script", "style") and self._skipped > 0

    def handle_data(self, data: str) -> None:
        if not self._skipped:
            self.words.append(data)


def _words(text: str) -> str:
    parser = _Words()
    parser.feed(text)
    parser.close()
    return one_line(" ".join(parser.words))


def to_markdown(tree: lxml_html.HtmlElement) -> str:
    """The page's text; of one nested too deeply for its structure to be followed, the words alone."""
    body = tree.find("body")
    root = tree if body is None else body
    try:
        return tidy(render(root))
    except RecursionError:
        return tidy(" ".join(root.itertext()))


def _metadata(tree: lxml_html.HtmlElement) -> dict[str, str]:
    from trafilatura.metadata import extract_metadata

    try:
        found = extract_metadata(tree, extensive=False)
    except (ValueError, TypeError, AttributeError, RecursionError):
        return {}  # the head of a broken page: its text is worth more than its metadata
    metadata = {name: one_line(str(value)) for name in ("title", *_METADATA) if (value := getattr(found, name, None))}
    return {"language": tree.get("lang") or "", **metadata} if tree.get("lang") else metadata
