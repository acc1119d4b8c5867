"""Words, terms and tokens, for stages that count or compare them."""

import math
import re
import threading
import unicodedata
from functools import lru_cache

import Stemmer

CHARS_PER_TOKEN = 4
STATEMENT_TERMS = 3
_WORD = re.compile(r"\w+(?:[.,:/'’-]\w+)*")
_WIDE = re.compile(r"[\u1100-\u11ff\u2e80-\ud7ff\uf900-\ufaff\U0001f000-\U0003ffff]")
"""Chinese, Japanese, Korean and emoji, of which models read about a token a character."""
_POSSESSIVE = re.compile(r"['’]s?$")
_STOP = frozenset(
    """a about above after all also am an and any are as at be been before being between both but by can could did do
    does doing done during each few for from further get give had has have having he her here hers him his how i if in
    into is it its itself just know like make many may me might more most much must my need no nor not now of off on
    once one only or other our out over own please s same shall she should so some such t tell than that the their them
    then there these they this those through to too under until up use used using very want was we were what when where
    which while who whom whose why will with would you your""".split()
)
_STEMMER = Stemmer.Stemmer("english")
_STEMMING = threading.Lock()  # a stemmer keeps the word it works on in itself


def estimate_tokens(text: str) -> int:
    """Tokens of a text for a large model: a quarter of its characters, rounded up, and each wide one whole.

    Budgets and the tokens avoided in a receipt use it on both sides; billed tokens come from the provider.
    """
    wide = 0 if text.isascii() else len(_WIDE.findall(text))
    return wide + math.ceil((len(text) - wide) / CHARS_PER_TOKEN)


def fold(text: str) -> str:
    """A text for comparison: compatibility forms, case and white space made equal."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def content_words(text: str) -> list[str]:
    """The words and numbers that say what a text is about, folded, in order. `3.5` and `n-1234` are one word each."""
    words = (_POSSESSIVE.sub("", word) for word in _WORD.findall(fold(text)))
    return [word for word in words if word and word not in _STOP]


def content_spans(text: str) -> tuple[tuple[int, int], ...]:
    """Where the words of `content_words` stand in a text, as characters `(start, end)`, without a possessive ending."""
    found = []
    for match in _WORD.finditer(text):
        word = _POSSESSIVE.sub("", match[0])
        if word and fold(word) not in _STOP:
            found.append((match.start(), match.start() + len(word)))
    return tuple(found)


def term_of(word: str) -> str:
    """The term that a content word counts as: its stem, folded."""
    return _stem(fold(word))


@lru_cache(maxsize=4096)
def terms(text: str) -> frozenset[str]:
    """The distinct content words of a text, as stems."""
    return frozenset(_stem(word) for word in content_words(text))


def is_statement(text: str) -> bool:
    """Whether a sentence can state anything: a label, a heading, a question or `The following:` cannot."""
    return len(terms(text)) >= STATEMENT_TERMS and not text.rstrip().endswith(("?", ":"))


@lru_cache(maxsize=1 << 16)
def _stem(word: str) -> str:
    with _STEMMING:
        return str(_STEMMER.stemWord(word))
