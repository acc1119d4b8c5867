"""PDF: pages, headings, paragraphs, forms, tables; damage and passwords."""

import pytest

from indexing.convert import PAGE_BREAK
from pipelines.core.errors import EmptyDocumentError, EncryptedDocumentError, MalformedDocumentError

from .conftest import write_pdf

BODY, BOLD = "Helvetica", "Helvetica-Bold"


def test_headings_paragraphs_and_pages(convert, tmp_path):
    pages = [
        [
            (72, 740, BOLD, 20, "Harbour Report"),
            (
                72,
                700,
                BODY,
                11,
                "The harbour master measured the depth of the northern basin every morning of the meas-",
            ),
            (
                72,
                686,
                BODY,
                11,
                "urement week and wrote it down in the log, which is kept in the office beside the pier.",
            ),
            (72, 650, BOLD, 14, "Findings"),
            (72, 630, BODY, 11, "The basin is silting up."),
        ],
        [(72, 740, BODY, 11, "Second page.")],
    ]
    document, text = convert("a.pdf", write_pdf(tmp_path / "a", pages))
    assert document.paged
    assert text == (
        "# Harbour Report\n\nThe harbour master measured the depth of the northern basin every morning of the "
        "measurement week and wrote it down in the log, which is kept in the office beside the pier.\n\n"
        f"## Findings\n\nThe basin is silting up.\n{PAGE_BREAK}\nSecond page.\n"
    )


def test_form_fields_are_one_line_each(convert, tmp_path):
    rows = [
        (72, 700, BOLD, 10, "Location:"), (180, 700, BODY, 10, "Tallahassee, FL"),
        (320, 700, BOLD, 10, "Restraint Used:"), (430, 700, BODY, 10, "Seatbelt, Shoulder"),
        (430, 688, BODY, 10, "harness"),
        (72, 670, BOLD, 10, "Rated Power:"), (320, 670, BOLD, 10, "Engines:"), (430, 670, BODY, 10, "1"),
    ]  # fmt: skip
    text = convert("a.pdf", write_pdf(tmp_path / "a", [rows]))[1]
    assert text.splitlines() == [
        "- Location: Tallahassee, FL",
        "- Restraint Used: Seatbelt, Shoulder harness",
        "- Rated Power:",
        "- Engines: 1",
    ]


def test_table_rows_become_a_table(convert, tmp_path):
    rows = [(x, y, BODY, 10, f"{name}{y}") for y in (700, 685, 670) for x, name in ((72, "a"), (200, "b"), (330, "c"))]
    text = convert("a.pdf", write_pdf(tmp_path / "a", [rows]))[1]
    assert text.splitlines()[2:] == ["| a685 | b685 | c685 |", "| a670 | b670 | c670 |"]


def test_running_headers_and_page_numbers_are_left_out(convert, tmp_path):
    pages = [
        [
            (72, 770, BODY, 9, "Port Authority"),
            (72, 600, BODY, 11, f"Chapter text {n}"),
            (280, 30, BODY, 9, f"Page {n} of 4"),
        ]
        for n in range(1, 5)
    ]
    text = convert("a.pdf", write_pdf(tmp_path / "a", pages))[1]
    assert text.split(PAGE_BREAK) == [
        "Chapter text 1\n",
        "\nChapter text 2\n",
        "\nChapter text 3\n",
        "\nChapter text 4\n",
    ]


def test_blank_page_keeps_its_number(convert, tmp_path):
    text = convert("a.pdf", write_pdf(tmp_path / "a", [[], [(72, 600, BODY, 11, "On page two")]]))[1]
    assert text.split(PAGE_BREAK)[1].strip() == "On page two"


def test_scanned_pdf_is_empty_with_a_reason(convert, tmp_path):
    with pytest.raises(EmptyDocumentError, match="may be scanned"):
        convert("a.pdf", write_pdf(tmp_path / "a", [[], []]))


def encrypted(path, user_password):
    from pypdf import PdfReader, PdfWriter

    writer = PdfWriter(clone_from=PdfReader(path))
    writer.encrypt(user_password=user_password, owner_password="owner", algorithm="AES-256")
    target = path.with_suffix(".encrypted")
    writer.write(target)
    return target


def test_password_is_asked_for_only_where_reading_needs_it(convert, tmp_path):
    path = write_pdf(tmp_path / "a", [[(72, 600, BODY, 11, "Secret")]])
    assert convert("a.pdf", encrypted(path, ""))[1] == "Secret\n"
    with pytest.raises(EncryptedDocumentError, match="The PDF is protected by a password"):
        convert("a.pdf", encrypted(path, "user"))


def test_truncated_pdf_is_damaged(convert, tmp_path):
    data = write_pdf(tmp_path / "a", [[(72, 600, BODY, 11, "Text")]]).read_bytes()
    with pytest.raises(MalformedDocumentError, match="damaged"):
        convert("a.pdf", data[: len(data) // 3])
