"""Groups to rank: a question, the passage that answers it, and passages that the index finds but that do not."""

import random
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

from pipelines.core.text import fold, terms
from services.training.examples import Example
from services.training.texts import Text

Find = Callable[[str], Sequence[Text]]
"""What the index finds for a question, best first."""

MAX_WORDS = 130
"""Words of a passage that an example keeps: short ones teach as much, and more of them fit into an hour."""
NEAR = 20
"""Near misses are drawn from so many of the best."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A question and where its answer stands.

    Attributes:
        good: Sentences of the passage that answer it; `None` where only the passage is known.
        answers: No passage that holds one of these is a near miss.
        weight: Of each of its examples.
        more_gold: Further passages that the answer needs, with their sentences.
        group: Names the questions that stay together; empty where each stands by itself.
    """

    question: str
    gold: Text
    good: tuple[int, ...] | None
    source: str
    answers: tuple[str, ...] = ()
    weight: float = 1.0
    more_gold: tuple[tuple[Text, tuple[int, ...]], ...] = ()
    group: str = ""


def near_miss_group(
    asked: Asked, found: Sequence[Text], group: str, *, misses: int, chance: random.Random
) -> Iterator[Example]:
    """The gold passages and some of those found that are none, all cut around what fits the question best."""
    golds = ((asked.gold, asked.good), *asked.more_gold)
    for text, good in golds:
        kept, first = cut(text, asked.question, good)
        shown = None if good is None else tuple(at - first for at in good if first <= at < first + len(kept.spans))
        yield kept.example(asked.question, group=group, source=asked.source, label=1.0, good=shown, weight=asked.weight)
    near = [text for text in found if not _may_answer(text, [gold for gold, _ in golds], asked.answers)][:NEAR]
    for text in chance.sample(near, min(misses, len(near))):
        kept, _ = cut(text, asked.question, None)
        yield kept.example(asked.question, group=group, source=asked.source, label=0.0, good=(), weight=asked.weight)


def _may_answer(text: Text, golds: Collection[Text], answers: Sequence[str]) -> bool:
    if any(text.id == gold.id or text.text in gold.text or gold.text in text.text for gold in golds):
        return True
    held = fold(f"{text.context} {text.text}")
    return any(fold(answer) in held for answer in answers if answer.strip())


def cut(text: Text, question: str, good: Sequence[int] | None) -> tuple[Text, int]:
    """The sentences around the good ones, or around the one that shares most terms with the question.

    Returns:
        The passage cut to about `MAX_WORDS`, and which of its sentences is now the first.
    """
    words = [len(sentence.split()) for sentence in text.sentences]
    if sum(words) <= MAX_WORDS or not words:
        return text, 0
    asked = terms(question)
    middle = good[0] if good else max(range(len(words)), key=lambda at: len(asked & terms(text.sentences[at])))
    low, high, size = middle, middle + 1, words[middle]
    while low > 0 or high < len(words):
        # Grow on the side that has grown less, so that the answer stands anywhere but at an edge by rule.
        left = high == len(words) or (low > 0 and middle - low <= high - 1 - middle)
        at = low - 1 if left else high
        if size + words[at] > MAX_WORDS:
            break
        size += words[at]
        low, high = (at, high) if left else (low, at + 1)
    return text.part(low, high), low
