"""Word documents: mammoth reads them into HTML (as markitdown does), `render` writes that as Markdown.

What mammoth does not read is put into the document's XML before: see `docx_prepare`.
"""

import io
import re

import lxml.html

from indexing.convert.base import ConvertedDocument, SourceFile
from indexing.convert.cleaning import tidy
from indexing.convert.docx_prepare import NUMBER_END, NUMBER_START, prepare
from indexing.convert.ooxml import core_properties
from indexing.convert.render import render
from pipelines.core.settings import ConvertSettings

_STYLES = "\n".join(
    (
        "p[style-name='Title'] => h1:fresh",
        "p[style-name='Subtitle'] => h2:fresh",
        "p[style-name='Source Code'] => pre:separator('\\n')",
        "p[style-name='HTML Preformatted'] => pre:separator('\\n')",
        "p[style-name='Code'] => pre:separator('\\n')",
        "r[style-name='Code'] => code",
        "comment-reference => sup",
    )
)
_DOUBLE_BULLET = re.compile(r"^( *)(?:- )+(?=- )", re.MULTILINE)  # mammoth: a list that starts on its second level
_ITEM_NUMBER = re.compile(rf"^( *)(?:(?:-|\d+\.) )+{NUMBER_START}(.*?){NUMBER_END} ?", re.MULTILINE)


def convert(source: SourceFile, settings: ConvertSettings) -> ConvertedDocument:
    """Convert a Word document; pictures are not read and links not followed."""
    import mammoth

    data = prepare(source.path)
    html = mammoth.convert_to_html(
        io.BytesIO(data),
        style_map=_STYLES,
        convert_image=mammoth.images.img_element(lambda image: {"src": ""}),
        include_embedded_style_map=False,
    ).value
    title, metadata = core_properties(source.path)
    if not html:
        return ConvertedDocument(title=title, parts=iter(()), metadata=metadata)
    tree = lxml.html.document_fromstring(html, parser=lxml.html.HTMLParser(huge_tree=True, no_network=True))
    text = _place_numbers(tidy(render(tree)))
    return ConvertedDocument(title=title, parts=iter([text]), metadata=metadata)


def _place_numbers(text: str) -> str:
    """Word's own numbers in place of counted ones: `3.` as a list's number, `2.1.` behind a bullet."""

    def item(match: re.Match[str]) -> str:
        number = match[2]
        return f"{match[1]}{number} " if re.fullmatch(r"\d+[.)]", number) else f"{match[1]}- {number} "

    text = _DOUBLE_BULLET.sub(r"\1", _ITEM_NUMBER.sub(item, text))
    return text.replace(NUMBER_START, "").replace(NUMBER_END, "")
