"""Plain text: encodings, line ends, bounded pieces."""

import tracemalloc

import pytest

from indexing.convert import SourceFile
from indexing.convert.cleaning import PIECE_CHARS, clean


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("Grüße aus Ålesund", "Grüße aus Ålesund"),
        ("Grüße aus Ålesund".encode("utf-8-sig"), "Grüße aus Ålesund"),
        ("Grüße aus Ålesund".encode("utf-16"), "Grüße aus Ålesund"),
        ("Grüße aus Ålesund".encode("latin-1"), "Grüße aus Ålesund"),
        ("“quoted” — dashed".encode("cp1252"), "“quoted” — dashed"),
        (b"caf\xe9 " + "naïve and enough plain words".encode("latin-1"), "café naïve and enough plain words"),
    ],
)
def test_text_in_any_encoding_is_read(convert, content, expected):
    assert convert("a.txt", content)[1] == expected


def test_stray_byte_after_the_sample_does_not_spoil_utf8(convert):
    text = convert("a.txt", "é".encode() * 200_000 + b" \xe9t\xe9 " + "ü".encode())[1]
    assert text.endswith("é été ü")


def test_lone_surrogate_never_leaves():
    assert clean("a\ud800b") == "a\ufffdb"


def test_long_text_comes_in_pieces_that_join_to_it(converter, tmp_path):
    content = "".join(f"Line {number} of a long log.\n" for number in range(150_000))
    path = tmp_path / "a.log"
    path.write_text(content)
    parts = list(converter.convert(SourceFile(path=path, name="a.log")).parts)
    assert len(parts) > 3
    assert "".join(parts) == content
    assert all(part.endswith("\n") for part in parts)


@pytest.mark.parametrize("separator", [" ", ""])
def test_giant_single_line_is_cut(converter, tmp_path, separator):
    content = f"word{separator}" * 1_000_000
    path = tmp_path / "a.txt"
    path.write_text(content)
    parts = list(converter.convert(SourceFile(path=path, name="a.txt")).parts)
    assert "".join(parts) == content
    assert max(len(part) for part in parts) <= 2 * PIECE_CHARS
    if separator:
        assert all(part.endswith(" ") for part in parts)


def test_memory_does_not_grow_with_the_file(converter, tmp_path):
    path = tmp_path / "a.txt"
    line = "The tide comes in and the tide goes out.\n"
    with path.open("w") as stream:
        for _ in range(40):
            stream.write(line * 25_000)
    tracemalloc.start()
    total = sum(len(part) for part in converter.convert(SourceFile(path=path, name="a.txt")).parts)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total == 1_000_000 * len(line)
    assert peak < 16 * 1024 * 1024
