"""Conversations put together from questions that stand alone: a later question is cut from its context.

A question about something is made to lean on an earlier turn that names it: a pronoun, "the plan", nothing at all, or a
few key words stand in its place. Other conversations switch the topic, so that nothing is to be carried.
"""

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pipelines.core.text import content_spans, terms
from pipelines.resolve import resolve_pair
from services.training.examples import Example

MADE = "made/conversation"
MAX_THING_WORDS = 4

_AFTER_VERB_PLACE = frozenset("i you we they he she to can could should would will must do does did not n't".split())
_LEADING = re.compile(r"\b(of|in|for|with|on|to|from|about|at|by|into|during) (the |a |an |my |your )?$", re.IGNORECASE)
_ARTICLE = re.compile(r"\b(the|a|an|my|your|this) $", re.IGNORECASE)
_PLURAL = re.compile(r"[^s]s$")
_INTRODUCTIONS = (
    "What is {0}?",
    "Tell me about {0}.",
    "{0}",
    "I want to know more about {0}",
    "Can you explain {0}?",
    "I have a question about {0}.",
    "what do you know about {0}",
)
_OPENINGS = ("And ", "Ok, ", "Thanks. ", "So ", "I see. ", "Interesting. ", "Great, ", "Hmm, but ", "Also, ")
_WHAT_ABOUT = ("What about {0}?", "How about {0}?", "And {0}?", "what about {0}", "{0}?")


@dataclass(frozen=True, slots=True)
class Asked:
    """A question that stands alone, and the part of it that names what it is about, `(start, end)` in characters."""

    text: str
    thing: tuple[int, int]

    @property
    def name(self) -> str:
        """What it is about, in its own words."""
        return self.text[slice(*self.thing)]


def find_thing(text: str, rng: random.Random, title: str = "") -> Asked | None:
    """A run of content words that a question is about: what its title names where it has one, else any.

    Returns:
        `None` where nothing would be left of the question without it.
    """
    named = terms(title)
    runs = [_without_verb(text, run) for run in _runs(text)]
    if title:
        runs = [[span for span in run if terms(text[slice(*span)]) & named] for run in runs]
    fitting = [run for run in runs if 0 < len(run) <= MAX_THING_WORDS]
    if not fitting or (not title and len(runs) < 2):
        return None
    longest = max(len(run) for run in fitting)
    run = rng.choice([run for run in fitting if len(run) >= min(longest, 2)])
    asked = Asked(text, (run[0][0], run[-1][1]))
    rest = terms(text) - terms(asked.name)
    return asked if rest else None


def _runs(text: str) -> list[list[tuple[int, int]]]:
    """Content words with nothing but a space or hyphen between them."""
    runs: list[list[tuple[int, int]]] = []
    for span in content_spans(text):
        if runs and text[runs[-1][-1][1] : span[0]] in {" ", "-"}:
            runs[-1].append(span)
        else:
            runs.append([span])
    return runs


def _without_verb(text: str, run: list[tuple[int, int]]) -> list[tuple[int, int]]:
    before = text[: run[0][0]].split()
    return run[1:] if before and before[-1].casefold() in _AFTER_VERB_PLACE else run


def leaning(asked: Asked, rng: random.Random) -> str:
    """The question with what it is about left out, as people do once it has been named."""
    way = rng.choice((_pronoun, _pronoun, _noun, _omitted, _omitted, _keywords))
    return way(asked, rng)


def _pronoun(asked: Asked, rng: random.Random) -> str:
    before, after = asked.text[: asked.thing[0]], asked.text[asked.thing[1] :]
    before = _ARTICLE.sub("", before)
    if after.startswith(("'s ", "’s ")):
        return f"{before}its{after[2:]}"
    many = ("them", "they", "those") if before else ("they", "those")
    words = many if _PLURAL.search(asked.name) else ("it", "it", "this", "that")
    return before + rng.choice(words) + after


def _noun(asked: Asked, rng: random.Random) -> str:
    last = asked.name.split()[-1]
    if last == asked.name:
        return _pronoun(asked, rng)
    before = _ARTICLE.sub("", asked.text[: asked.thing[0]])
    return f"{before}{rng.choice(('the', 'the', 'this', 'that'))} {last}{asked.text[asked.thing[1] :]}"


def _omitted(asked: Asked, rng: random.Random) -> str:
    before, after = asked.text[: asked.thing[0]], asked.text[asked.thing[1] :]
    shorter = _LEADING.sub("", before)
    if shorter == before:
        return _pronoun(asked, rng)
    return f"{shorter.rstrip()} {after.lstrip()}".replace(" ?", "?").strip()


def _keywords(asked: Asked, rng: random.Random) -> str:
    kept = [
        asked.text[start:end]
        for start, end in content_spans(asked.text)
        if end <= asked.thing[0] or start >= asked.thing[1]
    ]
    return " ".join(kept)


def swapped(asked: Asked, other: str, rng: random.Random) -> str:
    """A follow-up that asks the same of something else: the rest of the question is to be carried."""
    return rng.choice(_WHAT_ABOUT).format(other)


@dataclass(frozen=True, slots=True)
class Topic:
    """Questions about one thing or from one document."""

    id: str
    questions: tuple[Asked, ...]


class Conversations:
    """Makes conversations from topics; the same seed makes the same ones."""

    def __init__(self, topics: Sequence[Topic], seed: int) -> None:
        self._topics = topics
        self._rng = random.Random(seed)  # noqa: S311  # not for security

    def examples(self, each: int = 1) -> Iterator[Example]:
        """`each` conversations of every question."""
        for topic in self._topics:
            for number, asked in enumerate(topic.questions):
                for turn in range(each):
                    if example := self._example(topic, number, asked, f"{topic.id}/{number}/{turn}"):
                        yield example

    def _example(self, topic: Topic, number: int, asked: Asked, group: str) -> Example | None:
        rng = self._rng
        others = [each for at, each in enumerate(topic.questions) if at != number]
        drawn = rng.random()
        if drawn < 0.4:
            question, needed, turns = asked.text, frozenset[str](), self._alone(asked, others)
        elif drawn < 0.5:
            other = self._unrelated().name
            question, turns = swapped(asked, other, rng), [*self._far(), asked.text]
            needed = terms(asked.text) - terms(asked.name)
        else:
            question, turns = leaning(asked, rng), self._about(asked, others)
            needed = terms(asked.name)
        if rng.random() < 0.2:
            opening = rng.choice(_OPENINGS)
            question = opening + (question[:1].lower() + question[1:] if opening.endswith(", ") else question)
        return labelled(_typed(question, rng), turns, needed, group=group, source=MADE)

    def _alone(self, asked: Asked, others: Sequence[Asked]) -> list[str]:
        """Earlier turns for a question that needs none of them."""
        near = [each.text for each in self._rng.sample(others, min(len(others), self._rng.randint(0, 2)))]
        return [*self._far(), *near] or [self._passing()]

    def _about(self, asked: Asked, others: Sequence[Asked]) -> list[str]:
        """Earlier turns one of which names what the question is about."""
        rng = self._rng
        same = [each for each in others if terms(asked.name) <= terms(each.text)]
        named = rng.choice(same).text if same and rng.random() < 0.6 else rng.choice(_INTRODUCTIONS).format(asked.name)
        between = [leaning(each, rng) for each in rng.sample(same, min(len(same), rng.randint(0, 2)))]
        return [*self._far(), named, *(each for each in between if each != named)]

    def _far(self) -> list[str]:
        """Turns about other things, mostly of one other topic."""
        rng = self._rng
        count = rng.choice((0, 0, 1, 2, 3, 4))
        topic = rng.choice(self._topics)
        near = [each.text for each in rng.sample(topic.questions, min(len(topic.questions), count))]
        return [*near, *(self._passing() for _ in range(count - len(near)))]

    def _passing(self) -> str:
        """A turn about something else: a question, or how one begins to talk of it."""
        other = self._unrelated()
        return other.text if self._rng.random() < 0.6 else self._rng.choice(_INTRODUCTIONS).format(other.name)

    def _unrelated(self) -> Asked:
        return self._rng.choice(self._rng.choice(self._topics).questions)


def labelled(
    question: str, turns: Sequence[str], needed: frozenset[str], *, group: str, source: str, weight: float = 1.0
) -> Example | None:
    """An example of the head `resolve`; `None` where the earlier turns have no words.

    Args:
        turns: Oldest first.
        needed: Terms that the question needs of them; those that it has itself do not count.
    """
    pair = resolve_pair(question, turns)
    wanted = needed - terms(question)
    labels = tuple(float(bool(terms(pair.second[start:end]) & wanted)) for start, end in pair.spans)
    if not labels:
        return None
    return Example(
        first=pair.first,
        second=pair.second,
        spans=pair.spans,
        span_labels=labels,
        group=group,
        source=source,
        weight=weight,
    )


def _typed(question: str, rng: random.Random) -> str:
    """As it may be typed: without capitals or without a question mark, now and then."""
    if rng.random() < 0.3:
        question = question.rstrip("?. ")
    return question.lower() if rng.random() < 0.2 else question
