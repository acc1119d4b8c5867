"""Claims made from the text of corpora: true ones said otherwise, false ones, and ones that stand elsewhere."""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Self

from pipelines.core.sentences import sentence_spans
from pipelines.core.text import is_statement
from pipelines.support import coverage
from services.evaluation.corruption import list_names, negate, swap_name, swap_number
from services.training.examples import Example
from services.training.support.reading import readings
from services.training.support.rephrase import merge, rephrase, tidy

SUPPORTS, CONTRADICTS, NEITHER = 0.0, 1.0, 2.0
WORDS = (6, 45)
"""Bounds of a sentence that a claim is made from."""
MERGED = 0.3
"""Share of claims that state what two sentences state."""
SAME_FACT = 0.75
"""A sentence with so many of a claim's terms may state the same: it is no example of one that does not."""

SAID_IN_PART = 0.9
"""A text with so many of a claim's terms may state all of it."""


@dataclass(frozen=True, slots=True)
class Text:
    """A document of a corpus, cut into sentences.

    Attributes:
        group: Of the examples that are made from it.
    """

    title: str
    sentences: tuple[str, ...]
    group: str

    @classmethod
    def cut(cls, title: str, text: str) -> Self:
        """Cuts a text; what is made from texts of one title is one group."""
        title = tidy(title)
        return cls(title, tuple(sentences_of(text)), title or text[:80])


def sentences_of(text: str) -> list[str]:
    """The sentences of a passage, tidy."""
    return [sentence for start, end in sentence_spans(text) if (sentence := tidy(text[start:end]))]


def made_examples(texts: Sequence[Text], seed: int) -> Iterator[Example]:
    """Examples from one sentence of each text: of the claims made from it, what its source says of them."""
    others = random.Random(seed)  # noqa: S311  # no secret
    for number, text in enumerate(texts):
        chance = random.Random(f"{seed}:{number}:{text.title}")  # noqa: S311  # no secret
        places = [at for at, sentence in enumerate(text.sentences) if _tells(sentence)]
        if places:
            yield from _of_sentence(text, chance.choice(places), others.choice(texts), chance)


def telling(text: Text) -> list[str]:
    """The sentences of a text that claims can be made from."""
    return [sentence for sentence in text.sentences if _tells(sentence)]


def _tells(sentence: str) -> bool:
    return WORDS[0] <= len(sentence.split()) <= WORDS[1] and sentence.endswith((".", '."')) and is_statement(sentence)


def _of_sentence(text: Text, at: int, other: Text, chance: random.Random) -> Iterator[Example]:
    sentences, sentence = list(text.sentences), text.sentences[at]
    names = list_names([*sentences, text.title]) + list_names(other.sentences)
    false = corrupt(sentence, names, chance)
    if false and chance.random() < 0.25:
        # The source is the one that was changed: what a changed text looks like must not tell.
        sentence, false = false, sentence
        sentences[at] = sentence
    needed = [at]
    claim = rephrase(sentence, text.title, chance, chance.choice((0, 1, 2, 3)))
    said = rephrase(false, text.title, chance, chance.choice((0, 1, 2))) if false else None
    if said and chance.random() < 0.5:
        said = corrupt(claim, names, chance) or said
    context = text.title if chance.random() < 0.6 else ""
    more = [place for place, each in enumerate(sentences) if place != at and _tells(each)]
    if more and chance.random() < MERGED:
        needed.append(chance.choice(more))
        also = rephrase(sentences[needed[1]], text.title, chance, 2)
        claim, said = _merged(claim, also, chance), _merged(said, also, chance) if said else None

    def example(first: str, second: str, label: float, kind: str) -> Example:
        return Example(
            first=first, second=second, context=context, label=label, group=text.group, source=f"made/{kind}"
        )

    second = readings(claim, sentences, needed, chance, 1)[0]
    yield example(claim, second, SUPPORTS, "rephrased")
    if said and said != claim:
        yield example(said, second, CONTRADICTS, "changed")
    if len(needed) > 1:
        gone, kept = chance.sample(needed, 2)
        rest = [each for place, each in enumerate(sentences) if place != gone]
        part = readings(claim, rest, [kept - (kept > gone)], chance, 1)[0]
        if coverage(claim, part) < SAID_IN_PART:
            yield example(claim, part, NEITHER, "partial")
        return
    yield from (
        example(first, unsaid, NEITHER, kind)
        for first, unsaid, kind in [_unsaid(claim, sentences, at, other, second, chance)]
        if first
    )


def _unsaid(
    claim: str, sentences: Sequence[str], at: int, other: Text, second: str, chance: random.Random
) -> tuple[str, str, str]:
    """A claim that its source says nothing of, or says only in part."""
    rest = [each for place, each in enumerate(sentences) if place != at and coverage(claim, each) < SAME_FACT]
    near = sorted(rest, key=lambda each: -coverage(claim, each))
    way = chance.random()
    if way < 0.35 and near:
        wide = readings(claim, near, [0], chance, 1)[0]
        return (claim, wide, "near_miss") if coverage(claim, wide) < SAID_IN_PART else ("", "", "")
    if way < 0.65:
        # Half of what is claimed stands elsewhere.
        away = [each for each in (rest or other.sentences) if each not in second and _tells(each)]
        if away:
            return _merged(claim, rephrase(chance.choice(away), "", chance, 2), chance), second, "partial"
    if way < 0.9:
        # The source says less than the claim does.
        short = rephrase(sentences[at], "", chance, 2)
        if coverage(sentences[at], short) < 0.85 and len(short.split()) < len(sentences[at].split()) - 2:
            return sentences[at], second.replace(sentences[at], short), "less_said"
    away = sorted((each for each in other.sentences), key=lambda each: -coverage(claim, each))
    return (claim, readings(claim, away, [0], chance, 1)[0], "elsewhere") if away else ("", "", "")


def _merged(one: str, other: str, chance: random.Random) -> str:
    first, second = chance.sample((one, other), 2)
    return merge(first, second, chance)


def corrupt(claim: str, names: Sequence[str], chance: random.Random) -> str | None:
    """A claim that says something else: another number, another name or the opposite; `None` where none can be had."""
    seed = str(chance.random())
    ways: tuple[Callable[[], str | None], ...] = (
        lambda: swap_number(claim, seed),
        lambda: swap_name(claim, seed, names),
        lambda: negate(claim, seed),
    )
    for way in chance.sample(ways, len(ways)):
        changed = way()
        if changed and changed != claim:
            return changed
    return None
