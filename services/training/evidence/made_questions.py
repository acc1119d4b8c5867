"""Questions made from text, the way people ask: short, informal, with the answer left out."""

import random
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from pipelines.core.text import content_words, is_statement
from services.training.evidence.near_miss import Asked
from services.training.texts import Text

_MONTHS = "January|February|March|April|May|June|July|August|September|October|November|December"
_WHEN = re.compile(
    r"\b(?:(?:in|on|since|by|from|until|during|around|of)\s+)?"
    rf"(?:(?:\d{{1,2}} )?(?:{_MONTHS})(?: \d{{1,2}}(?:st|th)?)?,? ?)?"
    r"\b(?:1[5-9]|20)\d\d\b|\b(?:in|on|since) (?:" + _MONTHS + r")\b"
)
_HOW_MANY = re.compile(
    r"(?<![\w.,-])(?:about |over |nearly |approximately |more than )?"
    r"[$€£]?\d[\d,.]*(?:%| percent| million| billion)?(?![\w-])"
)
_NAME = re.compile(r"(?<=[a-z,;] )[A-Z][\w'’.-]+(?:\s+(?:of |the |and |de |van )?[A-Z][\w'’.-]+)*")
_IS = re.compile(
    r"^(?P<what>(?:(?:The|A|An) )?[A-Z0-9][^,.;:()]{1,50}?)(?:\s*\([^)]*\))? "
    r"(?P<verb>is|was|are|were|refers to|means) (?:a|an|the|one of|used|any)\b"
)
_TO = re.compile(r"^To (?P<do>[a-z]+ [^,:.;]{6,70}), ")
_YOU_CAN = re.compile(r"\b[Yy]ou (?:can|may|could|should|must|need to|have to) (?P<do>[a-z]+ [^,:.;()]{8,70})")
_IF_YOU = re.compile(r"\b[Ii]f you (?:want|need|would like|have|wish|are trying) to (?P<do>[a-z]+ [^,:.;()]{6,70})")
_ASKED = re.compile(
    r"^(?:(?:And|But|So|Also|OK|Now),? )?"
    r"(?:what|how|why|when|where|who|which|can|do|does|is|are|should|will|if)\b(?: \S+){4,24}\?$",
    re.IGNORECASE,
)
_LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")
_MARKS = re.compile(r"[*_`#|>\\\[\]{}]+|https?://\S+|``|''")
_SPACE = re.compile(r"\s+")
_PUNCTUATION = re.compile(r"\s+([,.;:?!])")
_TAIL = re.compile(r"[\s,.;:!?()\"'-]+$")

MIN_WORDS, MAX_WORDS = 6, 45
"""Words of a sentence that a question is made of."""


@dataclass(frozen=True, slots=True)
class _Made:
    question: str
    answers: tuple[str, ...] = ()


Way = Callable[[str, str, random.Random], _Made | None]
"""Makes a question of a sentence and its passage's context, if it can."""


def made_questions(
    texts: Iterable[Text], source: str, chance: random.Random, ways: Sequence[Way] | None = None
) -> Iterator[Asked]:
    """At most one question of each passage, of a sentence that can be asked about, each way as often as it can.

    Args:
        ways: Without it all of `WAYS`.
    """
    ways = ways or WAYS
    used = dict.fromkeys(range(len(ways)), 0)
    for text in texts:
        made = {}
        for at in chance.sample(range(len(text.spans)), min(8, len(text.spans))):
            sentence = plain(text.sentences[at])
            if not MIN_WORDS <= len(sentence.split()) <= MAX_WORDS:
                continue
            for number, way in enumerate(ways):
                if number not in made and (question := way(sentence, plain(text.context), chance)):
                    made[number] = (question, at)
        if not made:
            continue
        number = min(made, key=lambda each: used[each])
        used[number] += 1
        question, at = made[number]
        if ways[number] is asked_there:
            if asked := _without(text, at, question.question, source):
                yield asked
        else:
            yield Asked(_said(question.question, chance), text, (at,), source, question.answers)


def plain(text: str) -> str:
    """A text without the marks of Markdown and of tokenised corpora."""
    shown = _MARKS.sub(" ", _LINK.sub(r"\1", text))
    return _PUNCTUATION.sub(r"\1", _SPACE.sub(" ", shown)).replace(" 's", "'s").replace(" n't", "n't").strip()


def _said(question: str, chance: random.Random) -> str:
    """As people type: often without capitals and question mark."""
    question = _TAIL.sub("", question)
    draw = chance.random()
    if draw < 0.45:
        return question.casefold()
    return question[:1].upper() + question[1:] + ("?" if draw < 0.85 else "")


def _masked(sentence: str, found: re.Match[str]) -> str:
    return _SPACE.sub(" ", sentence[: found.start()] + sentence[found.end() :]).strip(" ,.;")


def _when(sentence: str, context: str, chance: random.Random) -> _Made | None:
    found = _WHEN.search(sentence)
    if not found or len(found.group()) > 30:
        return None
    lead = chance.choice(("when", "when", "what year", "when exactly"))
    return _Made(
        f"{lead} {_lowered(_shortened(_masked(sentence, found), found.start(), chance))}", (found.group().split()[-1],)
    )


def _how_many(sentence: str, context: str, chance: random.Random) -> _Made | None:
    found = _HOW_MANY.search(sentence)
    if not found or len(found.group()) < 2 or _WHEN.search(sentence):
        return None
    lead = (
        "how much"
        if any(sign in found.group() for sign in "$€£%")
        else chance.choice(("how many", "what number of", "how much"))
    )
    after = sentence[found.end() :].strip(" ,.;")
    before = sentence[: found.start()].strip(" ,.;")
    return _Made(f"{lead} {' '.join(after.split()[:9])} {_lowered(' '.join(before.split()[-9:]))}", (found.group(),))


def _name(sentence: str, context: str, chance: random.Random) -> _Made | None:
    names = [found for found in _NAME.finditer(sentence) if found.group() not in context]
    if not names:
        return None
    found = chance.choice(names)
    rest = _masked(sentence, found)
    if len(content_words(rest)) < 4:
        return None
    lead = chance.choice(("who", "what", "which", "what is the name of"))
    return _Made(f"{lead} {_lowered(_shortened(rest, found.start(), chance))}", (found.group(),))


def _definition(sentence: str, context: str, chance: random.Random) -> _Made | None:
    found = _IS.match(sentence)
    if not found or found["what"].split()[0] in {
        "It",
        "This",
        "That",
        "There",
        "He",
        "She",
        "They",
        "These",
        "What",
        "Here",
        "If",
    }:
        return None
    what = _lowered(found["what"]) if found["what"].startswith(("The ", "A ", "An ")) else found["what"]
    return _Made(
        chance.choice(
            (
                f"what is {what}",
                f"what {found['verb'].split()[0]} {what}",
                f"{what} meaning",
                f"tell me about {what}",
                f"define {what}",
                f"what does {what} mean",
            )
        )
    )


def _how_to(sentence: str, context: str, chance: random.Random) -> _Made | None:
    found = _TO.match(sentence) or _IF_YOU.search(sentence) or _YOU_CAN.search(sentence)
    if not found:
        return None
    do = " ".join(re.sub(r"\byour\b", "my", found["do"]).split()[:11])
    do = re.sub(r"\byou\b", "I", do)
    return _Made(
        chance.choice(
            (
                "how do I {}",
                "how to {}",
                "how can I {}",
                "can I {}",
                "I want to {}",
                "what do I need to {}",
                "is it possible to {}",
            )
        ).format(do)
    )


def asked_there(sentence: str, context: str, chance: random.Random) -> _Made | None:
    """A question that stands in the text itself, as a heading or to its reader: somebody's own words."""
    return _Made(sentence) if _ASKED.match(sentence) else None


def _keywords(sentence: str, context: str, chance: random.Random) -> _Made | None:
    words = list(dict.fromkeys(content_words(sentence)))
    if len(words) < 6 or not is_statement(sentence):
        return None
    kept = sorted(chance.sample(range(len(words)), chance.randint(3, 5)))
    topic = content_words(context.rpartition(" > ")[2])[:3] if chance.random() < 0.5 else []
    return _Made(" ".join(dict.fromkeys([*topic, *(words[at] for at in kept)])))


def _about_title(sentence: str, context: str, chance: random.Random) -> _Made | None:
    subject = context.rpartition(" > ")[2]
    words = [word for word in dict.fromkeys(content_words(sentence)) if word not in subject.casefold()]
    if not 1 <= len(subject.split()) <= 6 or len(words) < 4:
        return None
    said = " ".join(chance.sample(words, chance.randint(1, 3)))
    return _Made(
        chance.choice(
            (
                "what about the {1} of {0}",
                "{0} {1}",
                "tell me about {1} of {0}",
                "how does {0} {1}",
                "why {0} {1}",
                "does {0} {1}",
            )
        ).format(subject, said)
    )


WAYS: tuple[Way, ...] = (asked_there, _how_to, _definition, _when, _how_many, _name, _about_title, _keywords)


def _without(text: Text, at: int, question: str, source: str) -> Asked | None:
    """A question that somebody asked in the text; what follows it is the passage that answers it."""
    if len(text.spans) - at < 3:
        return None
    rest = text.part(at + 1, len(text.spans))
    return Asked(question, rest, None, source)


def _lowered(text: str) -> str:
    """The first word without its capital, unless it looks like a name by having others after it."""
    first, _, rest = text.partition(" ")
    return text if rest[:1].isupper() or first[1:] != first[1:].lower() else f"{first.lower()} {rest}"


def _shortened(text: str, near: int, chance: random.Random) -> str:
    """Some twelve words in a row, near where the answer stood."""
    words = text.split()
    size = chance.randint(7, 13)
    at = len(text[:near].split())
    low = max(0, min(at - chance.randint(2, size), len(words) - size))
    return " ".join(words[low : low + size])
