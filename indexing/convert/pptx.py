"""PowerPoint presentations: a slide is a page; titles, text, tables, charts, notes and comments.

python-pptx directly, which markitdown uses too: markitdown stops at shapes it does not know, and leaves out merged
cells, comments and the levels of lists.
"""

import zipfile
from collections.abc import Iterator
from typing import Any

from indexing.convert.base import ConvertedDocument, SourceFile
from indexing.convert.cleaning import join_pages, one_line
from indexing.convert.ooxml import (
    chart_markdown,
    core_properties,
    find,
    find_all,
    local,
    parse_xml,
    relationships,
    text_of,
)
from indexing.convert.tables import pipe_table
from pipelines.core.settings import ConvertSettings


def convert(source: SourceFile, settings: ConvertSettings) -> ConvertedDocument:
    """Convert a presentation; slide n is page n."""
    from pptx import Presentation

    presentation = Presentation(str(source.path))
    title, metadata = core_properties(source.path)
    with zipfile.ZipFile(source.path) as archive:
        authors = _authors(archive)
        slides = [_slide(slide, archive, authors) for slide in presentation.slides]
    if title.casefold() in ("powerpoint presentation", "powerpoint-präsentation"):
        title = ""  # what PowerPoint writes where nobody gave a title
    return ConvertedDocument(title=title, parts=join_pages(slides), paged=True, metadata=metadata)


def _slide(slide: Any, archive: zipfile.ZipFile, authors: dict[str, str]) -> str:
    title = slide.shapes.title
    blocks = []
    if title is not None and title.has_text_frame and title.text_frame.text.strip():
        blocks.append(f"# {one_line(title.text_frame.text)}")
    for shape in slide.shapes:
        if title is None or shape.shape_id != title.shape_id:
            blocks.extend(_shape(shape))
    if slide.has_notes_slide and (frame := slide.notes_slide.notes_text_frame) is not None and frame.text.strip():
        blocks.append(f"Notes: {frame.text.strip()}")
    blocks.extend(_comments(archive, str(slide.part.partname).lstrip("/"), authors))
    return "\n\n".join(block for block in blocks if block)


def _shape(shape: Any) -> Iterator[str]:
    if hasattr(shape, "shapes"):  # a group
        for inner in shape.shapes:
            yield from _shape(inner)
    elif getattr(shape, "has_table", False):
        yield pipe_table(_grid(shape.table))
    elif getattr(shape, "has_chart", False):
        yield chart_markdown(shape.chart.part.blob)
    elif getattr(shape, "has_text_frame", False):
        yield _paragraphs(shape)
    else:
        properties = find_all(shape.element, "cNvPr")
        yield one_line(local(properties[0], "descr")) if properties else ""


def _paragraphs(shape: Any) -> str:
    lines: list[str] = []
    numbers: dict[int, int] = {}
    inherits = _inherits_bullets(shape)
    for paragraph in shape.text_frame.paragraphs:
        text = one_line(paragraph.text.replace("\v", " "))
        if not text:
            continue
        level = min(paragraph.level, 8)
        kind = _bullet(paragraph, inherits)
        numbers = {depth: number for depth, number in numbers.items() if depth <= level}
        if kind == "number":
            numbers[level] = numbers.get(level, 0) + 1
            lines.append(f"{'    ' * level}{numbers[level]}. {text}")
        elif kind == "bullet":
            lines.append(f"{'    ' * level}- {text}")
        else:
            lines.append(f"\n{text}\n")
    return "\n".join(lines).replace("\n\n\n", "\n\n").strip("\n")


def _bullet(paragraph: Any, inherits: bool) -> str:
    properties = find(paragraph._p, "pPr")
    if properties is not None:
        if find(properties, "buNone") is not None:
            return ""
        if find(properties, "buAutoNum") is not None:
            return "number"
        if find(properties, "buChar") is not None or find(properties, "buBlip") is not None:
            return "bullet"
    return "bullet" if inherits or paragraph.level > 0 else ""


def _inherits_bullets(shape: Any) -> bool:
    """Body placeholders take their bullets from the master slide; other text has none."""
    if not shape.is_placeholder:
        return False
    kind = str(shape.placeholder_format.type).split(" ")[0]
    return kind in ("OBJECT", "BODY") and len(shape.text_frame.paragraphs) > 1


def _grid(table: Any) -> list[list[str]]:
    """The cells by row; a merged cell is repeated, so that each row reads alone."""
    grid = [[one_line(cell.text) for cell in row.cells] for row in table.rows]
    for top, row in enumerate(table.rows):
        for left, cell in enumerate(row.cells):
            if cell.is_merge_origin:
                for line in grid[top : top + cell.span_height]:
                    width = len(line[left : left + cell.span_width])
                    line[left : left + width] = [one_line(cell.text)] * width
    return grid


# --- Comments ------------------------------------------------------------------------------------------------------


def _authors(archive: zipfile.ZipFile) -> dict[str, str]:
    """Id to `Name (initials)`, from the old and the new kind of comments."""
    authors: dict[str, str] = {}
    for part in ("ppt/commentAuthors.xml", "ppt/authors.xml"):
        if part in archive.namelist():
            for author in find_all(parse_xml(archive.read(part)), "cmAuthor", "author"):
                initials = local(author, "initials")
                authors[local(author, "id")] = local(author, "name") + (f" ({initials})" if initials else "")
    return authors


def _comments(archive: zipfile.ZipFile, part: str, authors: dict[str, str]) -> Iterator[str]:
    for kind, target in relationships(archive, part).values():
        if kind != "comments" or target not in archive.namelist():
            continue
        for comment in find_all(parse_xml(archive.read(target)), "cm", "reply"):
            body = find(comment, "txBody")
            text = find(comment, "text") if body is None else body
            words = (
                one_line(" ".join(text_of(run) for run in find_all(text, "t")) or text_of(text))
                if text is not None
                else ""
            )
            if words:
                author = authors.get(local(comment, "authorId"), "unknown")
                when = local(comment, "dt") or local(comment, "created")
                yield f"[author: {author}, time: {when}]: {words}"
