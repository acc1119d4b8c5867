"""Word, PowerPoint, Excel and OpenDocument files."""

import pytest

from indexing.convert import PAGE_BREAK
from indexing.convert.docx_numbering import number_text

from .conftest import OFFICE, W, paragraph, write_docx, write_odf

STYLES = f"""<w:styles xmlns:w="{W}">
<w:style w:type="paragraph" w:styleId="H1"><w:name w:val="heading 1"/>
<w:pPr><w:numPr><w:numId w:val="1"/></w:numPr></w:pPr></w:style>
<w:style w:type="paragraph" w:styleId="H2"><w:name w:val="heading 2"/><w:basedOn w:val="H1"/>
<w:pPr><w:numPr><w:ilvl w:val="1"/><w:numId w:val="1"/></w:numPr></w:pPr></w:style></w:styles>"""
NUMBERING = f"""<w:numbering xmlns:w="{W}"><w:abstractNum w:abstractNumId="7">
<w:lvl w:ilvl="0"><w:start w:val="1"/><w:numFmt w:val="upperRoman"/><w:lvlText w:val="%1."/></w:lvl>
<w:lvl w:ilvl="1"><w:start w:val="1"/><w:numFmt w:val="decimal"/><w:lvlText w:val="%1.%2"/></w:lvl>
</w:abstractNum><w:num w:numId="1"><w:abstractNumId w:val="7"/></w:num></w:numbering>"""
RELATIONSHIPS = (
    '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
    f'<Relationship Id="r1" Type="{OFFICE}/styles" Target="styles.xml"/>'
    f'<Relationship Id="r2" Type="{OFFICE}/numbering" Target="numbering.xml"/></Relationships>'
)
PARTS = {
    "word/styles.xml": STYLES,
    "word/numbering.xml": NUMBERING,
    "word/_rels/document.xml.rels": RELATIONSHIPS,
}


def test_word_headings_carry_the_numbers_that_word_shows(convert, tmp_path):
    body = "".join(
        paragraph(text, f'<w:pStyle w:val="{style}"/>')
        for text, style in (("Scope", "H1"), ("Terms", "H2"), ("Places", "H2"), ("Duties", "H1"), ("Pay", "H2"))
    )
    text = convert("a.docx", write_docx(tmp_path / "a", body, PARTS))[1]
    assert text.split("\n\n") == ["# I. Scope", "## I.1 Terms", "## I.2 Places", "# II. Duties", "## II.1 Pay\n"]


def test_word_tables_and_equations(convert, tmp_path):
    cells = "".join(f"<w:tr><w:tc>{paragraph(a)}</w:tc><w:tc>{paragraph(b)}</w:tc></w:tr>" for a, b in ("ab", "cd"))
    math = "http://schemas.openxmlformats.org/officeDocument/2006/math"
    equation = (
        f'<w:p><m:oMath xmlns:m="{math}"><m:f><m:fPr/><m:num><m:r><m:t>a</m:t></m:r></m:num>'
        "<m:den><m:r><m:t>b</m:t></m:r></m:den></m:f></m:oMath></w:p>"
    )
    text = convert("a.docx", write_docx(tmp_path / "a", f"<w:tbl>{cells}</w:tbl>{equation}"))[1]
    assert text == "| a | b |\n| --- | --- |\n| c | d |\n\n$\\frac{a}{b}$\n"


@pytest.mark.parametrize("with_fallback", [True, False])
def test_text_stored_twice_is_read_and_counted_once(convert, tmp_path, with_fallback):
    inside = paragraph("Aside", '<w:pStyle w:val="H1"/>')
    names = 'xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006"'
    fallback = f"<mc:Fallback>{inside}</mc:Fallback>" if with_fallback else ""
    body = f"<mc:AlternateContent {names}><mc:Choice>{inside}</mc:Choice>{fallback}</mc:AlternateContent>"
    text = convert("a.docx", write_docx(tmp_path / "a", body + paragraph("Next", '<w:pStyle w:val="H1"/>'), PARTS))[1]
    assert text == "# I. Aside\n\n# II. Next\n"


@pytest.mark.parametrize(
    ("number", "form", "expected"),
    [(4, "decimal", "4"), (28, "lowerLetter", "bb"), (2, "upperLetter", "B"), (1994, "upperRoman", "MCMXCIV")],
)
def test_numbers_are_written_in_their_form(number, form, expected):
    assert number_text(number, form) == expected


def test_slides_are_pages_with_titles_lists_tables_and_notes(convert, tmp_path):
    from pptx import Presentation
    from pptx.util import Inches

    presentation = Presentation()
    first = presentation.slides.add_slide(presentation.slide_layouts[1])
    first.shapes.title.text = "Tides"
    first.placeholders[1].text_frame.text = "High"
    nested = first.placeholders[1].text_frame.add_paragraph()
    nested.text, nested.level = "Spring", 1
    first.notes_slide.notes_text_frame.text = "Say hello"
    second = presentation.slides.add_slide(presentation.slide_layouts[5])
    second.shapes.title.text = "Depths"
    table = second.shapes.add_table(2, 2, Inches(1), Inches(2), Inches(4), Inches(1)).table
    for row, column, text in ((0, 0, "Basin"), (1, 0, "North"), (1, 1, "4 m")):
        table.cell(row, column).text = text
    table.cell(0, 0).merge(table.cell(0, 1))
    presentation.save(tmp_path / "a")
    document, text = convert("a.pptx", tmp_path / "a")
    assert document.paged
    assert text.split(PAGE_BREAK) == [
        "# Tides\n\n- High\n    - Spring\n\nNotes: Say hello\n",
        "\n# Depths\n\n| Basin | Basin |\n| --- | --- |\n| North | 4 m |\n",
    ]


def test_sheets_are_sections_and_blocks_of_cells_are_tables(convert, tmp_path):
    import datetime

    from openpyxl import Workbook
    from openpyxl.comments import Comment

    workbook = Workbook()
    sheet = workbook.active
    sheet.title = "Depths"
    sheet.append(["Basin", "Measured", "Share"])
    sheet.append(["North", datetime.datetime(2024, 5, 1), 0.25])
    sheet["C2"].number_format = "0%"
    sheet["G9"] = "Far away"
    sheet["A1"].comment = Comment("Check this", "Ada")
    workbook.create_sheet("Secret")["A1"] = "hidden"
    workbook["Secret"].sheet_state = "hidden"
    workbook.save(tmp_path / "a")
    text = convert("a.xlsx", tmp_path / "a")[1]
    assert text.strip().split("\n\n") == [
        "## Depths",
        "| Basin | Measured | Share |\n| --- | --- | --- |\n| North | 2024-05-01 | 25% |",
        "| Far away |\n| --- |",
        "[author: Ada]: Check this",
    ]


def test_open_document_text(convert, tmp_path):
    body = (
        '<text:h text:outline-level="2">Tides</text:h><text:p>High<text:s/>water<text:tab/>now.</text:p>'
        "<text:list><text:list-item><text:p>one</text:p><text:list><text:list-item><text:p>two</text:p>"
        "</text:list-item></text:list></text:list-item></text:list>"
        "<table:table><table:table-row><table:table-cell><text:p>a</text:p></table:table-cell>"
        '<table:table-cell table:number-columns-repeated="16000"/></table:table-row></table:table>'
    )
    text = convert("a.odt", write_odf(tmp_path / "a", body))[1]
    assert text == "## Tides\n\nHigh water now.\n\n- one\n    - two\n\na\n"


def test_open_document_sheet_and_slides(convert, tmp_path):
    row = "<table:table-row>" + "".join(
        f"<table:table-cell><text:p>{cell}</text:p></table:table-cell>" for cell in ("a", "b")
    )
    sheet = f'<table:table table:name="Depths">{row}</table:table-row>{row}</table:table-row></table:table>'
    text = convert("a.ods", write_odf(tmp_path / "s", sheet, "spreadsheet"))[1]
    assert text == "## Depths\n\n| a | b |\n| --- | --- |\n| a | b |\n"
    slides = "".join(
        f'<draw:page><draw:frame presentation:class="title"><draw:text-box><text:p>{title}</text:p></draw:text-box>'
        "</draw:frame></draw:page>"
        for title in ("One", "Two")
    )
    document, text = convert("a.odp", write_odf(tmp_path / "p", slides, "presentation"))
    assert document.paged
    assert text == f"# One\n{PAGE_BREAK}\n# Two\n"
