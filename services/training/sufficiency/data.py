"""What the head `sufficiency` learns from: evidence with the answer, and the same without it.

Evidence is put together as the prune stage gives it: the sentences that fit a question best, of several passages. It is
made insufficient by taking the passage with the answer away, or only the sentences that hold it: what stays is of the
right article, and near.
"""

import random
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines.core.text import estimate_tokens, fold, terms
from pipelines.relevance import coverage
from pipelines.sufficiency import Shown, evidence_text
from services.evaluation.data.rows import CorpusDocument, QueryRow, read
from services.training.evidence.lexical import Lexical
from services.training.evidence.made_questions import made_questions
from services.training.evidence.near_miss import Asked
from services.training.evidence.real import search_questions
from services.training.examples import Example
from services.training.texts import Text

FOUND = 12
"""Passages that evidence is put together from."""
MOST_PASSAGES = 6
LEAST_TOKENS, MOST_TOKENS = 80, 320
TWO_HOPS = "multihop_wiki"


@dataclass(frozen=True, slots=True)
class Part:
    """A passage of the evidence and which of its sentences may be shown; `good` ones always are."""

    text: Text
    allowed: frozenset[int]
    good: frozenset[int] = frozenset()


class EvidenceMaker:
    """Puts evidence together from what words find in a corpus."""

    def __init__(self, corpus: Sequence[Text], chance: random.Random) -> None:
        self._index = Lexical(corpus)
        self._chance = chance

    def find(self, question: str, limit: int) -> list[Text]:
        """What words find, best first."""
        return self._index.find(question, limit)

    def examples(self, asked: Asked, group: str) -> Iterator[Example]:
        """A question with its answer in the evidence and, once or twice, without it."""
        golds = [(asked.gold, asked.good), *asked.more_gold]
        found = self._others(asked, [text for text, _ in golds])
        whole = [_part(text, good) for text, good in golds]
        yield self._example(asked, [*whole, *found], 1.0, group)
        if len(golds) > 1:
            kept = self._chance.randrange(len(golds))
            yield self._example(asked, [whole[kept], *found], 0.0, group)
        else:
            yield self._example(asked, found, 0.0, group)
        if (cut := _without(golds[0][0], golds[0][1], asked.answers)) and len(golds) == 1:
            yield self._example(asked, [cut, *found], 0.0, group)

    def _others(self, asked: Asked, golds: Collection[Text]) -> list[Part]:
        """Passages that are found and that do not answer."""
        known = {text.id for text in golds} | {text.text for text in golds}
        found = [text for text in self._index.find(asked.question, FOUND) if not {text.id, text.text} & known]
        parts = [_part(text, ()) for text in found if not holds(f"{text.context} {text.text}", asked.answers)]
        return parts[: self._chance.randint(2, MOST_PASSAGES)]

    def _example(self, asked: Asked, parts: Sequence[Part], label: float, group: str) -> Example:
        return Example(
            first=asked.question,
            second=evidence_text(self._shown(asked.question, parts)),
            label=label,
            group=group,
            source=asked.source,
            weight=asked.weight,
        )

    def _shown(self, question: str, parts: Sequence[Part]) -> list[Shown]:
        """The best sentences by words, within a budget, passages by their best one."""
        weights = self._index.weights(question)
        ranked = []
        for at, part in enumerate(parts):
            named = terms(part.text.context)
            for sentence in part.allowed:
                covered = coverage(weights, named | terms(part.text.sentences[sentence]))
                value = covered + 0.1 * (sentence == 0) + self._chance.uniform(0, 0.25)
                ranked.append((sentence in part.good, value, at, sentence))
        ranked.sort(reverse=True)
        budget = self._chance.randint(LEAST_TOKENS, MOST_TOKENS)
        kept: dict[int, list[int]] = {}
        best: dict[int, float] = {}
        for needed, value, at, sentence in ranked:
            budget -= estimate_tokens(parts[at].text.sentences[sentence])
            if budget < 0 and kept and not needed:
                break
            kept.setdefault(at, []).append(sentence)
            best[at] = max(best.get(at, 0.0), value)
        order = sorted(kept, key=lambda at: -best[at])
        return [
            Shown(parts[at].text.context, tuple(parts[at].text.sentences[each] for each in sorted(kept[at])))
            for at in order
        ]


def _part(text: Text, good: Sequence[int] | None) -> Part:
    every = frozenset(range(len(text.spans)))
    return Part(text, every, every if good is None else frozenset(good))


def _without(text: Text, good: Sequence[int] | None, answers: Sequence[str]) -> Part | None:
    """A passage without its answer; `None` where nothing else, or not all of the answer's places, is known."""
    left = frozenset(
        at for at, sentence in enumerate(text.sentences) if at not in (good or ()) and not holds(sentence, answers)
    )
    return Part(text, left) if good and left else None


def holds(text: str, answers: Sequence[str]) -> bool:
    """Whether a text holds an answer, word for word."""
    held = fold(text)
    return any(fold(answer) in held for answer in answers if answer.strip())


def two_hop_questions(data: Path, texts: dict[str, Text]) -> Iterator[Asked]:
    """Questions of HotpotQA train, which need sentences of two paragraphs.

    Raises:
        InvalidRequestError: the file is missing or malformed.
    """
    for query in read(data / TWO_HOPS / "train" / "queries.jsonl.gz", QueryRow):
        golds = [(texts[each.doc_id], each.sent_ids) for each in query.gold if each.doc_id and each.sent_ids]
        golds = [(text, tuple(at for at in good if at < len(text.spans))) for text, good in golds]
        if len(golds) > 1:
            yield Asked(query.question, *golds[0], TWO_HOPS, more_gold=tuple(golds[1:]))


def corpora(data: Path) -> list[Text]:
    """All texts that evidence is put together from, once each.

    Raises:
        InvalidRequestError: a corpus is missing or malformed.
    """
    found: dict[str, Text] = {}
    for name in ("nq_gold", "multihop_wiki", "mtrag"):
        for document in read(data / name / "shared" / "corpus.jsonl.gz", CorpusDocument):
            found.setdefault(document.text, Text.of_document(document))
    return list(found.values())


def sufficiency_examples(data: Path, seed: int, made: int) -> Iterator[Example]:
    """Groups of a question with sufficient and insufficient evidence.

    Args:
        made: How many questions are made from the corpora.

    Raises:
        InvalidRequestError: a file is missing or malformed.
    """
    chance = random.Random(seed)  # noqa: S311  # not for security
    texts = corpora(data)
    maker = EvidenceMaker(texts, random.Random(seed))  # noqa: S311
    for number, each in enumerate(asked_questions(data, texts, made, chance)):
        yield from maker.examples(each, f"{each.source}/{number}")


def asked_questions(data: Path, texts: Sequence[Text], made: int, chance: random.Random) -> list[Asked]:
    """The questions, of people and made, with their answers.

    Raises:
        InvalidRequestError: a file is missing or malformed.
    """
    drawn = chance.sample(texts, min(made, len(texts)))
    return [
        *search_questions(data),
        *two_hop_questions(data, {text.id: text for text in texts}),
        *made_questions(iter(drawn), "made/question", chance),
    ]
