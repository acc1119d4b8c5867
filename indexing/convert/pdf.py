"""PDF files: pages, headings by outline, size and weight, paragraphs joined, forms and tables readable."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from indexing.convert.base import ConvertedDocument, SourceFile
from indexing.convert.cleaning import join_pages, one_line
from indexing.convert.pdf_layout import Fragment, Layout, Line, lines_of, normalised, page_markdown
from pipelines.core.errors import EmptyDocumentError, EncryptedDocumentError, MalformedDocumentError
from pipelines.core.settings import ConvertSettings

if TYPE_CHECKING:
    from pypdf import PageObject, PdfReader

MARGIN = 0.09  # share of the page's height at its top and bottom where running headers and footers stand
MIN_WORD_SHARE = 0.97  # a layout that loses more words of a page than this gives way to pypdf's own text

_PAGE_NUMBER = re.compile(r"(?:page )?#(?: ?(?:of|/) ?#)?")


@dataclass(frozen=True)
class _Page:
    lines: list[Line]
    text: str
    height: float


def convert(source: SourceFile, settings: ConvertSettings) -> ConvertedDocument:
    """Convert a PDF.

    Raises:
        EncryptedDocumentError: it opens with a password only.
        MalformedDocumentError: it is damaged.
        EmptyDocumentError: it has no pages.
    """
    from pypdf import PdfReader
    from pypdf.errors import DependencyError, PyPdfError

    try:
        reader = PdfReader(source.path)
        if reader.is_encrypted and not reader.decrypt(""):
            raise EncryptedDocumentError("The PDF is protected by a password.")
        pages = [_read(page) for page in reader.pages]
        outline = _outline(reader)
        title, metadata = _metadata(reader)
    except DependencyError as error:
        raise EncryptedDocumentError("The PDF is protected in a way that cannot be opened.") from error
    except (PyPdfError, EOFError, OSError) as error:
        raise MalformedDocumentError("The PDF is damaged or was cut short: its pages cannot be read.") from error
    if not pages:
        raise EmptyDocumentError("The PDF has no pages.")
    return ConvertedDocument(title=title, parts=join_pages(_markdown(pages, outline)), paged=True, metadata=metadata)


def _read(page: "PageObject") -> _Page:
    fragments: list[Fragment] = []

    def visit(text: str, cm: list[float], tm: list[float], font: dict[str, Any] | None, size: float) -> None:
        if not text:
            return
        x = tm[4] * cm[0] + tm[5] * cm[2] + cm[4]
        y = tm[4] * cm[1] + tm[5] * cm[3] + cm[5]
        scale = (tm[2] ** 2 + tm[3] ** 2) ** 0.5 * (cm[2] ** 2 + cm[3] ** 2) ** 0.5
        name = str((font or {}).get("/BaseFont", "")).lower()
        bold = "bold" in name or "black" in name or "heavy" in name
        fragments.append(Fragment(x=x, y=y, size=round(abs(size * scale), 1) or 1.0, bold=bold, text=text))

    text = page.extract_text(visitor_text=visit)
    return _Page(lines=lines_of(fragments), text=text, height=float(page.mediabox.height))


def _markdown(pages: list[_Page], outline: dict[int, dict[str, int]]) -> Iterator[str]:
    running = _running_lines(pages)
    kept = [
        [line for line in page.lines if not (_in_margin(line, page) and _is_running(line, running))] for page in pages
    ]
    layout = Layout.of([line for lines in kept for line in lines])
    for number, (page, lines) in enumerate(zip(pages, kept, strict=True)):
        text = page_markdown(lines, layout, outline.get(number, {}))
        expected = sum(len(line.text.split()) for line in lines)
        yield text if len(text.split()) >= MIN_WORD_SHARE * expected else page.text


def _in_margin(line: Line, page: _Page) -> bool:
    return not MARGIN * page.height < line.y < (1 - MARGIN) * page.height


def _is_running(line: Line, running: set[str]) -> bool:
    text = normalised(line.text)
    return text in running or _PAGE_NUMBER.fullmatch(text) is not None


def _running_lines(pages: list[_Page]) -> set[str]:
    """Headers and footers: lines in the margin that most pages share, page numbers aside."""
    counts = Counter(
        text for page in pages for text in {normalised(line.text) for line in page.lines if _in_margin(line, page)}
    )
    return {text for text, count in counts.items() if count >= max(3, 0.6 * len(pages))}


def _outline(reader: "PdfReader") -> dict[int, dict[str, int]]:
    """Page index to the titles of its bookmarks, with their level from 1."""
    found: dict[int, dict[str, int]] = {}

    def walk(items: list[Any], level: int) -> None:
        for item in items:
            if isinstance(item, list):
                walk(item, level + 1)
            elif (number := reader.get_destination_page_number(item)) is not None:
                found.setdefault(number, {})[normalised(str(item.title))] = min(level, 6)

    try:
        walk(reader.outline, 1)
    except Exception:  # bookmarks are a help: broken ones must not cost the text
        return {}
    return found


def _metadata(reader: "PdfReader") -> tuple[str, dict[str, str]]:
    info = reader.metadata
    if info is None:
        return "", {}
    values = {"author": info.author, "subject": info.subject, "created": info.creation_date_raw}
    title = one_line(str(info.title or ""))
    return title, {name: one_line(str(value)) for name, value in values.items() if value}
