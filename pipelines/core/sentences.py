"""Sentence boundaries, the same for documents and for answers."""

import re
from collections.abc import Iterator

from sentencex import get_sentence_boundaries

_WIDE_SPACE = re.compile(r"(?<=\w)(\s*)[^\S\x00-\x7f](?=\.)")
"""sentencex 1.0.32 panics at `A .` where white space of several bytes, such as a no-break space, is before the stop."""


def sentence_spans(text: str) -> Iterator[tuple[int, int]]:
    """Spans that cover a text without gaps; each holds one sentence and the white space after it."""
    at = end = 0
    begun = False  # `text[at:end]` holds more than white space
    for boundary in get_sentence_boundaries("en", text if text.isascii() else _WIDE_SPACE.sub(r"\1 ", text)):
        filled = bool(text[end : boundary["end_index"]].strip())
        if begun and filled:
            yield at, end
            at = end
        begun = begun or filled
        end = int(boundary["end_index"])
    if at < len(text):
        yield at, len(text)
