"""Questions over two paragraphs, made where one names the other's title."""

import random
import re
from collections.abc import Iterator, Mapping, Sequence

from pipelines.core.text import content_words
from services.training.evidence.near_miss import Asked
from services.training.texts import Text

SOURCE = "made/two_paragraphs"
COMPARED = "made/comparison"

_AFTER_KIND = "|".join(
    "who that which by in of from for and at on to based directed written released located born founded produced "
    "starring".split()
)
_KIND = re.compile(
    r"\b(?:is|was|are|were) (?:an?|the|one of the) (?P<kind>(?:[^\s,.;()]+ ){0,6}?[a-z][\w-]+)"
    rf"(?= (?:{_AFTER_KIND})\b|[,.;(])"
)
_YEAR = re.compile(r"\b(1[5-9]|20)\d\d\b")
_FACT = re.compile(r"\b(?:1[5-9]|20)\d\d\b|(?<=[a-z,] )[A-Z][\w'’-]+(?: [A-Z][\w'’-]+)*")
_NOTE = re.compile(r"\s*\([^)]*\)")
_FIRST = (
    (
        "Which {kind} was {did} first, {a} or {b}?",
        ("founded", "formed", "established", "released", "published", "born"),
    ),
    ("Are {a} and {b} both {kind}s?", ("",)),
    ("What do {a} and {b} have in common, both being {kind}s?", ("",)),
    ("Who is older, {a} or {b}?", ("",)),
    ("Which is a {kind}, {a} or {b}?", ("",)),
)


def linked(texts: Mapping[str, Text]) -> Iterator[tuple[Text, int, Text]]:
    """Paragraphs whose sentence `int` names the title of another paragraph."""
    titles = {_NOTE.sub("", text.context): text for text in texts.values() if _tells(text.context)}
    longest = max(len(title.split()) for title in titles)
    for text in texts.values():
        for at, sentence in enumerate(text.sentences):
            words = [(found.start(), found.end()) for found in re.finditer(r"[^\s,.;:()\"]+", sentence)]
            for low in range(len(words)):
                if not sentence[words[low][0]].isupper():
                    continue
                for high in range(min(len(words), low + longest), low, -1):
                    other = titles.get(sentence[words[low][0] : words[high - 1][1]])
                    if other is not None and other.id != text.id:
                        yield text, at, other
                        break


def _tells(title: str) -> bool:
    """Whether a title is said of nothing else: `Empire (2002 film)` is, of much."""
    return len(title) > 4 and (" (" not in title or len(_NOTE.sub("", title).split()) > 1)


def two_paragraph_questions(texts: Mapping[str, Text], chance: random.Random) -> Iterator[Asked]:
    """Questions that tell of one paragraph in the words of another: what it is, not what it is called."""
    links = list(linked(texts))
    chance.shuffle(links)
    seen: dict[str, int] = {}
    for text, at, other in links:
        if seen.get(other.id, 0) or seen.get(text.id, 0) > 1 or not other.spans:
            continue
        made = _question(text, at, other, chance)
        if made is None:
            continue
        seen[other.id] = seen[text.id] = seen.get(text.id, 0) + 1
        question, fact_at = made
        good = (fact_at,) if fact_at else (0,)
        yield Asked(question, text, (at,), SOURCE, more_gold=((other, good),))


def _question(text: Text, at: int, other: Text, chance: random.Random) -> tuple[str, int] | None:
    kind = kind_of(other)
    title = _NOTE.sub("", other.context)
    told = _NOTE.sub("", text.sentences[at])
    if kind is None or len(told.split()) > 45:
        return None
    place = told.find(title)
    if place < 0:
        return None
    fact_at = 0 if chance.random() < 0.75 or len(other.spans) < 2 else chance.randrange(1, min(4, len(other.spans)))
    fact = _NOTE.sub("", other.sentences[fact_at])
    found = [each for each in _FACT.finditer(fact) if each.group() not in title and each.group() not in told]
    if not found:
        return None
    asked = chance.choice(found)
    told = _subject(told, text)
    before, after = told[: told.find(title)].split(), told[told.find(title) + len(title) :].split()
    described = f"the {kind} {' '.join(before[-8:])} {' '.join(after[:6])}".strip(" ,.;")
    around = fact[: asked.start()].split()[-6:] + fact[asked.end() :].split()[:6]
    said = " ".join(word for word in around if word.strip(",.()") not in title)
    if len(content_words(described)) < 4 or not content_words(said):
        return None
    lead = (
        chance.choice(("when", "in what year", "what year"))
        if _YEAR.fullmatch(asked.group())
        else chance.choice(("who", "what", "which", "where"))
    )
    form = chance.choice(
        ("{lead} {said} {described}?", "{described} {said} {lead}?", "{lead} is {said} of {described}?")
    )
    question = form.format(lead=lead, said=said, described=described)
    return re.sub(r"\s+", " ", question[:1].upper() + question[1:]), fact_at


def _subject(told: str, text: Text) -> str:
    """A sentence that begins with a pronoun, told of its paragraph's title."""
    first, _, rest = told.partition(" ")
    title = _NOTE.sub("", text.context)
    if first in {"He", "She", "It", "They"}:
        return f"{title} {rest}"
    return f"{title} {rest}" if first in {"His", "Her", "Its", "Their"} else told


def kind_of(text: Text) -> str | None:
    """What the first sentence says that the title is: `romance film`, `American actor`."""
    found = _KIND.search(_NOTE.sub("", text.sentences[0])) if text.spans else None
    if found is None:
        return None
    words = found["kind"].split()
    return " ".join(words[-2:]) if not words[-1][0].isupper() else None


def comparison_questions(texts: Sequence[Text], chance: random.Random) -> Iterator[Asked]:
    """Questions that compare two paragraphs about things of the same kind."""
    kinds: dict[str, list[Text]] = {}
    for text in texts:
        if kind := kind_of(text):
            kinds.setdefault(kind.split()[-1], []).append(text)
    names = [kind for kind, several in sorted(kinds.items()) if len(several) > 1]
    chance.shuffle(names)
    for kind in names:
        one, other = chance.sample(kinds[kind], 2)
        form, did = chance.choice(_FIRST)
        a, b = (_NOTE.sub("", each.context) for each in (one, other))
        question = form.format(kind=kind, a=a, b=b, did=chance.choice(did))
        yield Asked(question, one, _telling(one, form), COMPARED, more_gold=((other, _telling(other, form)),))


def _telling(text: Text, form: str) -> tuple[int, ...]:
    """The first sentence says what a thing is; where a date is asked, the first that holds one does too."""
    dated = next((at for at, sentence in enumerate(text.sentences) if _YEAR.search(sentence)), 0)
    return tuple(sorted({0, dated})) if "first" in form or "older" in form else (0,)
