"""What every format has in common: boundaries, reasons, titles, and that a bad file stops no other."""

import io
import os
import struct
import time
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from indexing.convert import FileConverter, SourceFile
from pipelines.core.errors import (
    DocumentTooLargeError,
    EmptyDocumentError,
    EncryptedDocumentError,
    MalformedDocumentError,
    UnsupportedDocumentError,
)
from pipelines.core.settings import MIB, ConvertSettings

from .conftest import paragraph, write_docx, write_pdf


@pytest.mark.parametrize("name", ["a.txt", "a.md", "a.csv", "a.html", "a.adoc", "a.eml", "a.pdf", "a.docx"])
def test_file_without_bytes_is_empty_whatever_its_name(convert, name):
    with pytest.raises(EmptyDocumentError, match="The file is empty"):
        convert(name, b"")


@pytest.mark.parametrize("name", ["a.txt", "a.md", "a.csv", "a.html", "a.adoc", "a.eml"])
def test_file_of_white_space_is_empty(convert, name):
    with pytest.raises(EmptyDocumentError):
        convert(name, b" \n\t \r\n" * 10)


def test_sparse_file_of_two_gigabytes_is_refused_without_reading(convert, tmp_path):
    path = tmp_path / "nothing.txt"
    with path.open("wb") as stream:
        stream.truncate(2 * 1024 * MIB)
    with pytest.raises(DocumentTooLargeError, match=r"2\.0 GB; at most 512 MB"):
        convert("nothing.txt", path)


def test_zero_bytes_are_no_text(convert):
    with pytest.raises(EmptyDocumentError, match="only zero bytes"):
        convert("zeros.txt", bytes(100_000))


def test_missing_file_has_a_reason(convert, tmp_path):
    with pytest.raises(MalformedDocumentError, match="cannot be opened"):
        convert("gone.txt", tmp_path / "gone.txt")


def test_title_is_heading_else_name(convert):
    assert convert("notes.md", "# Harbour\n\nText.")[0].title == "Harbour"
    assert convert("notes on water.txt", "Text.")[0].title == "notes on water"


def test_word_document_that_is_a_pdf_is_read_as_pdf(convert, tmp_path):
    path = write_pdf(tmp_path / "report", [[(72, 700, "Helvetica", 12, "Tide tables")]])
    document, text = convert("report.docx", path)
    assert text == "Tide tables\n"
    assert document.paged


def test_pdf_that_is_html_is_read_as_html(convert):
    assert convert("page.pdf", "<!DOCTYPE html><html><body><h1>Sea</h1></body></html>")[1] == "# Sea\n"


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.pdf", b"just words", "The name ends in .pdf but the content is not a PDF"),
        ("a.docx", b"just words", "The name ends in .docx but the content is not a Word document"),
        ("a.txt", b"\x89PNG\r\n\x1a\n\x00\x00", "a PNG image"),
        ("a.txt", b"text\x00with\x01nul", "binary data"),
        ("a.doc", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "old binary Office file"),
        ("a.rtf", b"{\\rtf1 hello}", "rich text"),
    ],
)
def test_content_that_no_converter_reads_is_refused_with_a_reason(convert, name, content, reason):
    with pytest.raises(UnsupportedDocumentError, match=reason):
        convert(name, content)


def test_zip_of_other_things_is_no_document(convert):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("photo.txt", "hello")
    with pytest.raises(UnsupportedDocumentError, match="zip archive"):
        convert("a.docx", buffer.getvalue())


def test_encrypted_office_file_needs_a_password(convert):
    content = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600) + "EncryptedPackage".encode("utf-16-le") + bytes(64)
    with pytest.raises(EncryptedDocumentError, match="password"):
        convert("secret.docx", content)


def test_truncated_zip_is_damaged(convert, tmp_path):
    data = write_docx(tmp_path / "a", paragraph("Hello " * 500)).read_bytes()
    with pytest.raises(MalformedDocumentError, match="cut short"):
        convert("a.docx", data[: len(data) // 2])


def test_zip_bomb_is_refused_before_it_unpacks(tmp_path):
    path = write_docx(tmp_path / "bomb.docx", paragraph("x"), {"word/media/zeros.bin": "0" * (20 * MIB)})
    assert path.stat().st_size < MIB
    with (
        FileConverter(ConvertSettings(max_unpacked_bytes=8 * MIB)) as strict,
        pytest.raises(DocumentTooLargeError, match="unpacks to more than 8\\.0 MB"),
    ):
        strict.convert(SourceFile(path=path, name="bomb.docx"))


def test_zip_of_a_million_parts_is_refused_before_they_are_listed(convert, tmp_path):
    path = write_docx(tmp_path / "parts.docx", paragraph("x"))
    data = path.read_bytes()
    at, end = data.index(b"PK\x01\x02"), data.index(b"PK\x05\x06")
    directory = data[at:end] * (17 * MIB // (end - at))
    path.write_bytes(
        data[:at] + directory + struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, 9, 9, len(directory), at, 0)
    )
    tracemalloc.start()
    with pytest.raises(DocumentTooLargeError, match="more than 100000 parts"):
        convert("parts.docx", path)
    assert tracemalloc.get_traced_memory()[1] < 4 * MIB
    tracemalloc.stop()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_xml_that_declares_entities_is_refused(convert, tmp_path, encoding):
    laughs = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 10))
    xml = f'<?xml version="1.0" encoding="{encoding}"?><!DOCTYPE x [<!ENTITY l0 "ha">{laughs}]><x>&l9;</x>'
    path = write_docx(tmp_path / "a.docx", paragraph("x"), {"word/styles.xml": ""})
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("word/numbering.xml", xml.encode(encoding))
    with pytest.raises(MalformedDocumentError, match="declares entities"):
        convert("a.docx", path)


def test_bad_file_does_not_stop_the_next(convert, tmp_path):
    good = write_docx(tmp_path / "good", paragraph("Still here"))
    for content in (b"PK\x03\x04garbage", b"%PDF-1.7\ngarbage", b"%PDF-1.7\n" + os.urandom(2000)):
        with pytest.raises(MalformedDocumentError):
            convert("bad", content)
        assert convert("good.docx", good)[1] == "Still here\n"


def test_converting_prints_nothing(convert, capfd):
    with pytest.raises(MalformedDocumentError):
        convert("a.pdf", b"%PDF-1.7\n1 0 obj << /Type /Catalog >> endobj\ntrailer << /Root 1 0 R >>")
    convert("a.html", "<p>Hello</p>")
    assert capfd.readouterr() == ("", "")


def test_control_characters_and_page_breaks_of_the_content_are_taken_out(convert):
    content = "one\x07\f\x1btwo\r\nthree\rfour"
    for name, body in (("a.txt", content), ("a.md", content), ("a.html", f"<pre>{content}</pre>")):
        document, text = convert(name, body)
        assert not document.paged
        assert not set("\f\x07\x1b\r") & set(text)
        assert "three\nfour" in text


def test_unread_document_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))
    Path(tmp_path / "scratch").mkdir()
    page = tmp_path / "page.html"
    page.write_text("<p>Hello</p>")
    with FileConverter(ConvertSettings()) as short_lived:
        unread = short_lived.convert(SourceFile(path=page, name="page.html"))
        assert unread.title == "page"
        assert list((tmp_path / "scratch").glob("*/*.md"))
    assert not list((tmp_path / "scratch").iterdir())


def test_comments_before_text_are_judged_in_linear_time(convert):
    assert convert("a.txt", "<!---->" * 5_000 + "no page")[1].endswith("no page")


def test_zip_bomb_in_the_type_of_an_open_document_is_not_unpacked(convert, tmp_path):
    with zipfile.ZipFile(tmp_path / "a", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("mimetype", "0" * (64 * MIB))
    with pytest.raises(UnsupportedDocumentError, match="zip archive"):
        convert("a.odt", tmp_path / "a")


def test_xml_that_begins_with_an_endless_comment_is_refused_at_once(convert, tmp_path):
    path = tmp_path / "comment.docx"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr("word/document.xml", "<!--" + "a" * 40 * MIB)
    before = time.process_time()
    with pytest.raises(MalformedDocumentError, match="a megabyte of nothing"):
        convert("comment.docx", path)
    assert time.process_time() - before < 3
