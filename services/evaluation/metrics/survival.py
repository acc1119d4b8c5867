"""How much of what a person sees in a file survives conversion: words and headings.

A word is a lower-cased run of letters and digits; recall counts each as often as it is expected. Expected texts are
often a program's output with placeholders (`<!-- image -->`, HTML entities): `plain` takes them out.
"""

import html
import re
from collections import Counter

_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_ESCAPE = re.compile(r"\\([_*`#|])")
_HEADING = re.compile(r"^#{1,6} +(.+)$", re.MULTILINE)
_MARKUP = re.compile(r"[*_`\\]")
_WORD = re.compile(r"\w+")


def word_recall(expected: str, found: str) -> float | None:
    """The share of the expected words that were found, 0 to 1; `None` where none is expected."""
    return _recall(_words(expected), _words(found))


def heading_recall(expected: str, found: str) -> float | None:
    """The same of headings, by their words; their levels do not count."""
    return _recall(_headings(expected), _headings(found))


def missing_words(expected: str, found: str, count: int) -> list[str]:
    """The words most often missing, as `word×times`."""
    return [f"{word}×{times}" for word, times in (_words(expected) - _words(found)).most_common(count)]


def plain(markdown: str) -> str:
    """Markdown without comments, entities and escapes."""
    return _ESCAPE.sub(r"\1", html.unescape(_COMMENT.sub(" ", markdown)))


def _recall(expected: Counter[str], found: Counter[str]) -> float | None:
    return (expected & found).total() / expected.total() if expected else None


def _words(text: str) -> Counter[str]:
    return Counter(_WORD.findall(text.lower()))


def _headings(text: str) -> Counter[str]:
    headings = (_MARKUP.sub("", html.unescape(heading)) for heading in _HEADING.findall(text))
    return Counter(" ".join(_WORD.findall(heading.lower())) for heading in headings)
