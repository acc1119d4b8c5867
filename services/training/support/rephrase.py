"""Sentences said otherwise: what a writer does with a source, in rules that keep what is stated.

Rules over English text, no model; each is pure and gives `None` where the text offers nothing for it.
"""

import random
import re
from collections.abc import Callable, Sequence

Rule = Callable[[str, random.Random], str | None]

SHORTEST_WORDS = 5
"""A claim of fewer words states too little to be worth a lesson."""

_SPACED = re.compile(r"\s+([.,;:!?%)\]'’])|([(\[])\s+")
_BRACKETED = re.compile(r"\s*\([^()]*\)")
_RELATIVE = re.compile(r",\s+(?:which|who|whose|where|when)\s[^,;.]+(?=[,.;])(?:,(?=\s(?!and\b|or\b)))?")
_APPOSITIVE = re.compile(r",\s+(?:an?|the)\s[^,;]{3,80},(?=\s(?:is|was|are|were|has|had|will|can|\w+ed)\b)")
_ADVERB = re.compile(r"(?:,\s|\b)(?:however|also|therefore|moreover|furthermore|additionally|subsequently),?\s", re.I)
_LEAD = re.compile(
    r"^((?:In|On|At|During|After|Before|Since|By|From|For|Under|Within|Following)\s[^,]{3,60}),\s+(?!\d{4})(.+?)\.$"
)
_TAIL = re.compile(r"^([^,;]{20,}?)\s((?:in|on|at|during|after|before|since)\s(?:[A-Z]|\d|the\s)[^,;]{2,50})\.$")
_CLAUSES = re.compile(
    r"^(.{20,}?)(?:;|,?\s(?:and|but|while|although|whereas))\s((?:it|he|she|they|the|this)\s.{12,})\.$"
)
_VERBS = re.compile(
    r"^((?:[A-Z][\w'’.-]*\s){1,6})((?:is|was|has|had|are|were|\w+ed)\s.{8,}?),?\sand\s((?:is|was|has|had|\w+ed)\s.+)\.$"
)
_PASSIVE = re.compile(
    r"^((?:The|A|An|It|[A-Z])[^,;()]{2,80}?)\s(?:is|was|were|are)\s(\w+ed|written|built|made|won|led|held|sung|led|held)"
    r"\sby\s((?:the\s)?[A-Z][\w'’-]*(?:\s(?:of\s|the\s)?[A-Z][\w'’-]*){0,4})([,.\s].*)?$"
)
_PAST = {"written": "wrote", "sung": "sang"}
_ACTIVE = re.compile(
    r"^((?:[A-Z][\w'’.-]*\s){1,4})(directed|produced|founded|created|designed|published|developed|discovered|invented|"
    r"recorded|released|built|won|established|introduced|defeated|acquired|purchased|bought)\s"
    r"((?:the\s|an?\s|[A-Z])[^,;]{3,60}?)((?:\s(?:in|on|at|during|for)\s[^;]*)?)\.$"
)
_COPULA = re.compile(
    r"^((?:[A-Z][\w'’.-]*\s){1,5})(?:is|was)\s(?:an?|the)\s([a-zA-Z][^,;.]{8,70}?)\s(?:who|that|and)\s([a-z].+)\.$"
)
_SUBJECT = re.compile(r"^(?:He|She|It|They)(?=\s(?:is|was|has|had|are|were|will|can|also|\w+ed|\w+s)\b)")
_THOUSANDS = re.compile(r"(?<![\d.,])(\d{1,3}),(\d{3})(?![\d,])")
_DATE = re.compile(
    r"\b(\d{1,2})\s(January|February|March|April|May|June|July|August|September|October|November|December)\s(\d{4})\b"
)
_DATE_US = re.compile(
    r"\b(January|February|March|April|May|June|July|August|September|October|November|December)\s(\d{1,2}),\s(\d{4})\b"
)
_PERCENT = re.compile(r"(?<=\d)\s?%")
_DIGIT_WORDS = "zero one two three four five six seven eight nine ten eleven twelve".split()
_DIGIT = re.compile(
    r"(?<![\d.,:/-])(\d|1[0-2])(?=\s(?!January|February|March|April|May|June|July|August|Sept|Octo|Nov|Dec|million|billion|percent|%)[a-z]{3,})"
)
_SMALL = re.compile(r"\b(two|three|four|five|six|seven|eight|nine|ten|eleven|twelve)\b(?=\s[a-z]{3,})")
_SYNONYMS = tuple(
    tuple(pair.split("/"))
    for pair in (
        "began/started because/since although/though film/movie films/movies approximately/about roughly/about "
        "however/but located/situated created/made purchased/bought obtained/got numerous/many several/some "
        "received/got large/big assist/help assistance/help required/needed requires/needs requires/demands "
        "attempted/tried concluded/ended during/in throughout/during "
        "child/kid children/kids physician/doctor automobile/car company/firm country/nation city/town "
        "shows/demonstrates show/demonstrate increase/rise decreased/fell prior/earlier famous/well-known "
        "resides/lives resided/lived wed/married former/past primary/main primarily/mainly "
        "generally/usually often/frequently rapidly/quickly quickly/fast important/significant "
        "significant/notable contains/holds comprises/includes consists-of/has permits/allows allow/let "
        "used/employed enables/allows ensures/guarantees provide/give provides/gives "
        "provided/gave begin/start begins/starts ended/finished finished/completed completed/finished "
        "constructed/built built/constructed established/founded founded/established formed/created "
        "named/called called/named known-as/called entire/whole novel/book author/writer writer/author "
        "actor/performer singer/vocalist song/track record/album area/region region/area part/portion "
        "portrayed/played plays/portrays played/portrayed role/part wife/spouse husband/spouse "
        "university/college match/game beginning/start portion/part"
    ).split()
)


def rephrase(text: str, title: str, chance: random.Random, steps: int) -> str:
    """A sentence after up to `steps` changes, each by another rule; as it was where none fits.

    Args:
        title: What its document is about; a leading pronoun may become it.
    """
    said = tidy(text)
    rules: list[Rule] = [
        drop_aside,
        move_lead,
        one_clause,
        turn_passive,
        turn_active,
        other_numbers,
        other_words,
        other_words,
        lambda each, _: name_subject(each, title),
        lambda each, _: short_name(each, title),
    ]
    for rule in chance.sample(rules, len(rules)):
        changed = rule(said, chance) if steps else None
        if changed and changed != said and len(changed.split()) >= SHORTEST_WORDS:
            said, steps = tidy(changed), steps - 1
    return said


def tidy(text: str) -> str:
    """A text without the spaces that tokenised corpora have before punctuation, and with plain quotes."""
    plain = " ".join(text.replace("``", '"').replace("''", '"').split())
    plain = re.sub(r"(\w) (n't|'s|'re|'ve|'ll|'d)\b", r"\1\2", plain)
    plain = re.sub(r"(\w) - (\w)", r"\1-\2", plain)
    return _SPACED.sub(lambda match: match.group(1) or match.group(2), plain)


def drop_aside(text: str, chance: random.Random) -> str | None:
    """Less is said: a bracket, a relative clause, an apposition or an adverb goes."""
    for pattern in chance.sample((_BRACKETED, _RELATIVE, _APPOSITIVE, _ADVERB), 4):
        gap = " " if pattern in (_ADVERB, _APPOSITIVE) else ""
        changed = pattern.sub(gap, text, count=1)
        if changed != text:
            changed = " ".join(changed.split())
            return changed[:1].upper() + changed[1:]
    return None


def move_lead(text: str, chance: random.Random) -> str | None:
    """What comes first goes last, or the other way round: `In 1995, X did Y` and `X did Y in 1995`."""
    lead = _LEAD.match(text)
    if lead:
        when, rest = lead.groups()
        return f"{rest[:1].upper() + rest[1:]} {when[:1].lower() + when[1:]}."
    tail = _TAIL.match(text)
    if tail:
        rest, when = tail.groups()
        first = rest.split(" ", 1)[0]
        opening = (
            rest[:1].lower() + rest[1:] if first in {"The", "It", "He", "She", "They", "A", "An", "This"} else rest
        )
        return f"{when[:1].upper() + when[1:]}, {opening}."
    return None


def one_clause(text: str, chance: random.Random) -> str | None:
    """One of the clauses that are joined."""
    clauses = _CLAUSES.match(text)
    if clauses:
        one = chance.choice(clauses.groups()).strip(" ,")
        return one[:1].upper() + one[1:] + "."
    verbs = _VERBS.match(text)
    if verbs:
        subject, first, second = verbs.groups()
        return f"{subject}{chance.choice((first, second))}."
    copula = _COPULA.match(text)
    if copula:
        subject, kind, _ = copula.groups()
        return f"{subject}was {'an' if kind[0] in 'aeiouAEIOU' else 'a'} {kind}." if " was " in text else None
    return None


def turn_passive(text: str, chance: random.Random) -> str | None:
    """`X was directed by Y` becomes `Y directed X`."""
    passive = _PASSIVE.match(text)
    if not passive:
        return None
    what, verb, who, _ = passive.groups()
    first = what.split(" ", 1)[0]
    what = what[:1].lower() + what[1:] if first in {"The", "A", "An", "It"} else what
    return f"{who[:1].upper() + who[1:]} {_PAST.get(verb, verb)} {what}."


def turn_active(text: str, chance: random.Random) -> str | None:
    """`Y directed X in 1990` becomes `X was directed by Y in 1990`."""
    active = _ACTIVE.match(text)
    if not active:
        return None
    who, verb, what, rest = active.groups()
    return f"{what[:1].upper() + what[1:]} was {verb} by {who.strip()}{rest}."


def other_numbers(text: str, chance: random.Random) -> str | None:
    """The same numbers, written otherwise."""
    changed = _THOUSANDS.sub(r"\1\2", text)
    changed = _DATE.sub(r"\2 \1, \3", changed) if _DATE.search(changed) else _DATE_US.sub(r"\2 \1 \3", changed)
    if chance.random() < 0.5:
        changed = _DIGIT.sub(lambda match: _DIGIT_WORDS[int(match.group())], changed)
    else:
        changed = _SMALL.sub(lambda match: str(_DIGIT_WORDS.index(match.group())), changed)
    percent = " percent"
    changed = changed.replace(percent, "%") if percent in changed else _PERCENT.sub(percent, changed)
    return changed if changed != text else None


def other_words(text: str, chance: random.Random) -> str | None:
    """Some words are synonyms of what they were."""
    fitting = [(old, new) for old, new in _SYNONYMS if re.search(rf"\b{old.replace('-', ' ')}\b", text)]
    if not fitting:
        return None
    for old, new in chance.sample(fitting, min(3, len(fitting))):
        text = re.sub(rf"\b{old.replace('-', ' ')}\b", new.replace("-", " "), text)
    return text


def name_subject(text: str, title: str) -> str | None:
    """A pronoun that begins the sentence is what the document is about."""
    bare = bare_title(title)
    return _SUBJECT.sub(lambda _: bare, text, count=1) if bare and _SUBJECT.match(text) else None


def short_name(text: str, title: str) -> str | None:
    """A person's full name at the beginning is the surname."""
    bare = bare_title(title)
    names = bare.split()
    person = len(names) in (2, 3) and all(name[:1].isupper() for name in names)
    return text.replace(bare, names[-1], 1) if person and text.startswith(bare + " ") else None


def bare_title(title: str) -> str:
    """A title without the bracket that tells it from others."""
    return re.sub(r"\s*\([^()]*\)$", "", title).strip()


def merge(first: str, second: str, chance: random.Random) -> str:
    """Two sentences as one."""
    joined: Sequence[str] = (", and ", "; ", ", while ")
    follow = second.rstrip(".")
    word = follow.split(" ", 1)[0]
    opening = (
        follow[:1].lower() + follow[1:]
        if word in {"The", "It", "He", "She", "They", "A", "An", "This", "In"}
        else follow
    )
    return f"{first.rstrip('.')}{chance.choice(joined)}{opening}."
