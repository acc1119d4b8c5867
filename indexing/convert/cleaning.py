"""What every converter's text goes through: decoding, line ends, control characters, pieces of bounded size."""

import codecs
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from indexing.convert.base import PAGE_BREAK

PIECE_CHARS = 1024 * 1024
SAMPLE_BYTES = 256 * 1024
MIN_CHARSET_LETTERS = 8

_LINE_ENDS = re.compile("\r\n?|[\v\f\x1c-\x1e\x85\u2028\u2029]")
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0e-\x1b\x1f\x7f-\x84\x86-\x9f\ufeff\ufffe\uffff]")
_SURROGATES = re.compile("[\ud800-\udfff]")
_BLANK_LINES = re.compile(r"\n[ \t]*(?:\n[ \t]*){2,}")
_HEADING = re.compile(r"^#{1,6} +(\S.*)$", re.MULTILINE)
_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def _decode_stray_bytes(error: UnicodeError) -> tuple[str, int]:
    """Read bytes that are not UTF-8 as Windows-1252: an old file with a few letters from elsewhere stays readable."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return error.object[error.start : error.end].decode("cp1252", errors="replace"), error.end


codecs.register_error("strata_cp1252", _decode_stray_bytes)


def clean(text: str) -> str:
    """The text with `\\n` as its only line end, without page breaks, control characters or surrogates."""
    text = _FORBIDDEN.sub("", _LINE_ENDS.sub("\n", text))
    return _SURROGATES.sub("\ufffd", text)


def tidy(markdown: str) -> str:
    """Cleaned Markdown with at most one blank line in a row and a line end last; empty where there is no text."""
    text = _BLANK_LINES.sub("\n\n", clean(markdown)).strip("\n ")
    return f"{text}\n" if text else ""


def join_pages(pages: Iterable[str]) -> Iterator[str]:
    """Each page's Markdown, tidied, with `PAGE_BREAK` on a line of its own between two.

    A page without text keeps its place.
    """
    for index, page in enumerate(pages):
        yield (f"{PAGE_BREAK}\n" if index else "") + tidy(page)


def first_heading(text: str) -> str:
    """The text of the first ATX heading, or nothing."""
    match = _HEADING.search(text)
    if match is None:
        return ""
    text = match[1].rstrip()
    closed = text.rstrip("#")  # a heading may also end in its marks
    return closed.rstrip() if closed.endswith(" ") else text


def one_line(text: str) -> str:
    """The text with every run of white space as one space."""
    return " ".join(text.split())


def encoding_of(sample: bytes) -> str:
    """The character encoding of a text, judged by its first bytes; UTF-8 where nothing speaks against it."""
    for bom, encoding in _BOMS:
        if sample.startswith(bom):
            return encoding
    try:
        codecs.getincrementaldecoder("utf-8")().decode(sample)
    except UnicodeDecodeError:
        return _guess_charset(sample)
    return "utf-8"


def _guess_charset(sample: bytes) -> str:
    from charset_normalizer import from_bytes

    if sum(byte > 127 for byte in sample) < MIN_CHARSET_LETTERS:
        return "cp1252"  # too little to tell single-byte encodings apart: take the most frequent one
    best = from_bytes(sample).best()
    return best.encoding if best is not None else "cp1252"


def read_pieces(path: Path, encoding: str | None = None) -> Iterator[str]:
    """The cleaned text of a file in pieces of about 1 MiB that end at a line's end.

    A line longer than a piece is cut at white space, or where that is missing anywhere.
    """
    if encoding is None:
        with path.open("rb") as stream:
            encoding = encoding_of(stream.read(SAMPLE_BYTES))
    errors = "strata_cp1252" if encoding == "utf-8" else "replace"
    with path.open(encoding=encoding, errors=errors, newline=None) as text:
        rest = ""
        while block := text.read(PIECE_CHARS):
            rest += block
            if len(rest) < PIECE_CHARS:
                continue
            cut = _cut(rest)
            yield clean(rest[:cut])
            rest = rest[cut:]
        if rest:
            yield clean(rest)


def _cut(text: str) -> int:
    for mark in ("\n", " ", "\t"):
        position = text.rfind(mark)
        if position >= 0:
            return position + 1
    return len(text)
