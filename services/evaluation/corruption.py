"""False variants of true sentences: another number, another name, the opposite.

Rules over English text, no model. Each function is pure: the same text and seed give the same variant, and `None` where
the text offers nothing to change.
"""

import random
import re
from collections.abc import Iterable

from pipelines.core.text import content_words, fold
from pipelines.core.types import MARKER

Seed = int | str

_NUMBER = re.compile(r"(?<![\w.,])\d+(?:[.,]\d+)*(?![\w]|[.,]\d)|(?<!\w)\d+(?=(?:st|nd|rd|th|s|%)\b)")
_MONTHS = "January February March April May June July August September October November December".split()
_NUMBER_WORDS = "two three four five six seven eight nine ten eleven twelve twenty thirty forty fifty".split()
_ORDINALS = "first second third fourth fifth sixth seventh eighth ninth tenth".split()
_LISTS = (_MONTHS, _NUMBER_WORDS, _ORDINALS)
_LISTED = re.compile(rf"\b({'|'.join(word for words in _LISTS for word in words if word != 'second')})\b")
"""`second` is a unit of time as often."""

_UPPER = "A-ZÀ-ÖØ-Þ"
_NAME = re.compile(rf"(?<![\w.'’-])[{_UPPER}][\w'’&-]*(?:(?:\s(?:of|the|de|van|von)){{0,2}}\s[{_UPPER}][\w'’&-]*)*")
_POSSESSIVE = re.compile(r"['’]s?$")
_DEMONYM = re.compile(r"^\S+(?:ian|ean|ish|ese|ican|man|men|ench|tch|eek)$")
"""A name that stands before nouns, most of the time: `Italian`."""
_OPENING = re.compile(r"(?:^|[.!?:;\"“(]\s*|\n)$")

_NEGATION = re.compile(
    r"\b(?:(can)(?:not|n['’]t)\b|(\w+)n['’]t\b)|(?<!\bor)\s(?:not|never)\b(?!\s+only)", re.IGNORECASE
)
_AUXILIARY = re.compile(
    r"\b(?:is|are|was|were|can|could|will|would|should|may|might|must|does|did)\b"
    r"|\b(?:has|have|had)\b(?=\s+(?:\w+ly\s+)?(?:been|become|won|made|held|led|built|shown|\w+ed|\w+en)\b)"
)
_PAIRS = (
    "more less|most least|before after|above below|increase decrease|increases decreases|increased decreased|"
    "higher lower|highest lowest|larger smaller|largest smallest|oldest youngest|longest shortest|earlier later|"
    "always never|won lost|begins ends|began ended|accepted rejected|same different|northern southern|"
    "eastern western|rise fall|rose fell|older younger|wins loses|first last|major minor|early late|"
    "includes excludes|included excluded|inside outside|legal illegal|possible impossible"
)
_OPPOSITE = {
    one: other for pair in _PAIRS.split("|") for one, other in (tuple(pair.split()), tuple(reversed(pair.split())))
}
_HAS_OPPOSITE = re.compile(rf"(?<![\w-])({'|'.join(_OPPOSITE)})(?![\w-])")


def swap_number(text: str, seed: Seed) -> str | None:
    """One number, month or number word is another one; a year stays near, and digits keep their form."""
    chance = random.Random(seed)  # noqa: S311  # no secret
    cited = [match.span() for match in MARKER.finditer(text)]
    found = [
        match
        for match in (*_NUMBER.finditer(text), *_LISTED.finditer(text))
        if not any(start <= match.start() < end for start, end in cited)
    ]
    chance.shuffle(found)
    for match in found:
        other = _other_number(match.group(), text, chance)
        if other:
            return text[: match.start()] + other + text[match.end() :]
    return None


def swap_name(text: str, seed: Seed, names: Iterable[str]) -> str | None:
    """One name is another one of `names`, of the same kind and by preference of as many words.

    Args:
        names: Names that may take its place; from the same document they make the hardest variants.
    """
    chance = random.Random(seed)  # noqa: S311  # no secret
    held = _words(text)
    others = [name for name in dict.fromkeys(names) if not _words(name) & held]
    spans = name_spans(text)
    chance.shuffle(spans)
    for start, end in spans:
        alike = [name for name in others if _is_demonym(name) == _is_demonym(text[start:end])]
        if alike:
            words = len(text[start:end].split())
            nearest = min(abs(len(name.split()) - words) for name in alike)
            other = chance.choice([name for name in alike if abs(len(name.split()) - words) == nearest])
            return text[:start] + other + text[end:]
    return None


def negate(text: str, seed: Seed) -> str | None:
    """The opposite: a negation goes or comes, or a word is its opposite (`more`, `less`)."""
    chance = random.Random(seed)  # noqa: S311  # no secret
    negation = _NEGATION.search(text)
    if negation:
        return text[: negation.start()] + (negation.group(1) or negation.group(2) or "") + text[negation.end() :]
    auxiliary = _AUXILIARY.search(text)
    opposites = list(_HAS_OPPOSITE.finditer(text))
    if opposites and (not auxiliary or chance.random() < 1 / 3):
        chosen = chance.choice(opposites)
        return text[: chosen.start()] + _OPPOSITE[chosen.group()] + text[chosen.end() :]
    return text[: auxiliary.end()] + " not" + text[auxiliary.end() :] if auxiliary else None


def name_spans(text: str) -> list[tuple[int, int]]:
    """Where names seem to stand: runs of capitalised words; a single one that opens a sentence is none."""
    spans = []
    for match in _NAME.finditer(text):
        start, end = _trimmed(text, *match.span())
        name = text[start:end]
        opens = bool(_OPENING.search(text[:start])) and " " not in name
        if len(name) > 1 and not opens and name not in _MONTHS and content_words(name):
            spans.append((start, end))
    return spans


def list_names(texts: Iterable[str]) -> list[str]:
    """The distinct names of some texts, in order."""
    return list(dict.fromkeys(text[start:end] for text in texts for start, end in name_spans(text)))


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """A run without words that a sentence opens with, such as `In` and `The`, and without a possessive's end."""
    end = start + len(_POSSESSIVE.sub("", text[start:end]))
    while True:
        word, gap, _ = text[start:end].partition(" ")
        if not gap or content_words(word):
            return start, end
        start += len(word) + 1


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", fold(text)))


def _is_demonym(name: str) -> bool:
    return bool(_DEMONYM.match(name))


def _other_number(number: str, text: str, chance: random.Random) -> str | None:
    """Another number of the same form that the text does not hold."""
    for words in _LISTS:
        if number in words:
            free = [word for word in words if word not in text]
            return chance.choice(free) if free else None
    held = set(_NUMBER.findall(text))
    for _ in range(20):
        other = _near(number, chance)
        if other not in held:
            return other
    return None


def _near(number: str, chance: random.Random) -> str:
    if number.isdigit() and 1000 <= int(number) <= 2100:
        return str(int(number) + chance.choice((-1, 1)) * chance.randint(1, 30))
    if number.isdigit() and int(number) <= 31:  # perhaps a day
        return str(min(28, max(1, int(number) + chance.choice((-1, 1)) * chance.randint(1, 5))))
    places = [at for at, char in enumerate(number) if char.isdigit()]
    at = chance.choice(places)
    digit = chance.choice("123456789")
    return number[:at] + digit + number[at + 1 :]
