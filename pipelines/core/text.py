"""Words and tokens, for stages that count or compare them."""

import math
import re
import unicodedata

CHARS_PER_TOKEN = 4
_WORD = re.compile(r"\w+(?:[.,:/'’-]\w+)*")
_STOP = frozenset(
    """a about after all also am an and any are as at be been before being between both but by can could did do does
    doing done during each few for from further had has have having he her here hers him his how i if in into is it its
    itself just me more most my no nor not now of off on once only or other our out over own s same she should so some
    such t than that the their them then there these they this those through to too under until up very was we were
    what when where which while who whom whose why will with would you your""".split()
)


def estimate_tokens(text: str) -> int:
    """Tokens of a text for a large model, estimated as a quarter of its characters, rounded up.

    Budgets and the tokens avoided in a receipt use it on both sides; billed tokens come from the provider.
    """
    return math.ceil(len(text) / CHARS_PER_TOKEN)


def fold(text: str) -> str:
    """A text for comparison: compatibility forms, case and white space made equal."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def words(text: str) -> list[str]:
    """Words and numbers, folded, in order. `3.5`, `1,200` and `N-1234` are one word each."""
    return _WORD.findall(fold(text))


def content_words(text: str) -> list[str]:
    """The words that say what a text is about, in order, plurals made singular."""
    return [_singular(word) for word in words(text) if word not in _STOP]


def _singular(word: str) -> str:
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word
