"""Claims that people wrote or judged, and questions that people answered, from the training parts of the sets."""

import random
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from pipelines.core.text import fold
from pipelines.core.types import MARKER
from pipelines.support import coverage
from services.evaluation.corruption import list_names
from services.evaluation.data.rows import CorpusDocument, GroundingRow, QueryRow, Row, read
from services.training.examples import Example
from services.training.support.made import CONTRADICTS, NEITHER, SUPPORTS, Text, corrupt, sentences_of
from services.training.support.reading import readings
from services.training.support.rephrase import tidy
from services.training.support.statements import recase, state

SHARE_KEPT = 0.6
"""A claim less its unsupported words must keep so many of them to be one."""

_OPENERS = frozenset("in on at by for from with during within as and or while after before since until".split())
_DETERMINERS = frozenset("the a an of has have had by with from against his her its their".split())


class TokensRow(Row):
    """A line of wice's `unsupported_tokens.jsonl.gz`: which words of a claim its page does not support."""

    id: str
    claim_or_response: str
    tokens: tuple[str, ...]
    unsupported: tuple[bool, ...]
    context_sentences: tuple[str, ...]
    supporting_sentence_sets: tuple[tuple[int, ...], ...]


def fm2_examples(folder: Path, seed: int) -> Iterator[Example]:
    """Claims with the sentences that support or refute them, and with others of the same page."""
    for row in read(folder / "train" / "grounding.jsonl.gz", GroundingRow):
        chance = random.Random(f"{seed}:{row.id}")  # noqa: S311  # no secret
        claim = row.claim_or_response
        label = SUPPORTS if row.label == "SUPPORTS" else CONTRADICTS
        sentences = [tidy(each.text) for each in row.candidates]
        gold = [at for at, each in enumerate(row.candidates) if each.gold]
        if not gold:
            sentences, gold = list(row.gold_evidence), list(range(len(row.gold_evidence)))
        for second in readings(claim, sentences, gold, chance, 2):
            yield _example("fm2", row.page, claim, second, label, row.page if chance.random() < 0.6 else "")
        changed = corrupt(claim, list_names(sentences), chance) if label == SUPPORTS else None
        if changed:
            second = readings(claim, sentences, gold, chance, 1)[0]
            yield _example(
                "fm2", row.page, changed, second, CONTRADICTS, row.page if chance.random() < 0.6 else "", 0.7
            )
        rest = sorted((s for at, s in enumerate(sentences) if at not in gold), key=lambda s: -coverage(claim, s))
        if rest:
            second = readings(claim, rest, [0], chance, 1)[0]
            yield _example("fm2", row.page, claim, second, NEITHER, row.page if chance.random() < 0.6 else "", 0.5)


def expertqa_examples(folder: Path, seed: int) -> Iterator[Example]:
    """Claims of answers with the passages that they cite, as experts judged them."""
    for row in read(folder / "train" / "grounding.jsonl.gz", GroundingRow):
        chance = random.Random(f"{seed}:{row.id}")  # noqa: S311  # no secret
        claim = bare_claim(row.claim_or_response)
        sentences = sentences_of(" ".join(each.text for each in row.context))
        near = sorted(range(len(sentences)), key=lambda at: -coverage(claim, sentences[at]))
        label = SUPPORTS if row.supported else NEITHER
        for take in (len(sentences), 2):
            second = readings(claim, sentences, near[:take], chance, 1)
            if second and claim:
                yield _example("expertqa", row.question_id or row.id, claim, second[0], label)
        changed = corrupt(claim, list_names(sentences), chance) if row.supported else None
        if changed:
            second = readings(claim, sentences, near[:3], chance, 1)
            yield _example("expertqa", row.question_id or row.id, changed, second[0], CONTRADICTS, weight=0.7)


def wice_examples(folder: Path, seed: int) -> Iterator[Example]:
    """Claims of which a page supports only a part, and the part that it supports."""
    for row in read(folder / "train" / "unsupported_tokens.jsonl.gz", TokensRow):
        chance = random.Random(f"{seed}:{row.id}")  # noqa: S311  # no secret
        claim, sentences = row.claim_or_response, list(row.context_sentences)
        group = row.id.rsplit("-", 1)[0]
        for needed in row.supporting_sentence_sets[:2]:
            for second in readings(claim, sentences, needed, chance, 2):
                yield _example("wice", group, claim, second, NEITHER)
            kept = supported_part(claim, row.tokens, row.unsupported)
            if kept:
                yield _example("wice", group, kept, readings(kept, sentences, needed, chance, 1)[0], SUPPORTS)


def page_texts(data: Path) -> Iterator[Text]:
    """The pages and passages that claims of the training parts cite: text as it is found on the web."""
    for page in read(data / "wice" / "train" / "unsupported_tokens.jsonl.gz", TokensRow):
        sentences = tuple(tidy(each) for each in page.context_sentences)
        yield Text("", sentences, f"wice:{page.id.rsplit('-', 1)[0]}")
    for row in read(data / "expertqa" / "train" / "grounding.jsonl.gz", GroundingRow):
        text = " ".join(each.text for each in row.context)
        yield Text("", tuple(sentences_of(text)), f"expertqa:{row.question_id}")


def supported_part(claim: str, tokens: Sequence[str], unsupported: Sequence[bool]) -> str | None:
    """A claim less its unsupported words, where they are one run that can be left out.

    That is one at the beginning or the end after a preposition, or some words before a noun.
    """
    places = [at for at, each in enumerate(unsupported) if each]
    run = bool(places) and places[-1] - places[0] + 1 == len(places) <= (1 - SHARE_KEPT) * len(tokens)
    if not run or not _can_go(tokens, places[0], places[-1]):
        return None
    first, last = places[0], places[-1]
    spans = _token_spans(claim, tokens)
    if spans is None:
        return None
    text = tidy(f"{claim[: spans[first][0]].rstrip()} {claim[spans[last][1] :].lstrip()}").strip(" ,")
    return text[:1].upper() + text[1:]


def _can_go(tokens: Sequence[str], first: int, last: int) -> bool:
    opens, ends = tokens[first].lower() in _OPENERS, last >= len(tokens) - 2
    if opens:
        return first == 0 or ends
    before_noun = not ends and tokens[last + 1].isalpha() and last - first < 3
    return first > 0 and before_noun and tokens[first - 1].lower() in _DETERMINERS


def _token_spans(text: str, tokens: Sequence[str]) -> list[tuple[int, int]] | None:
    spans = []
    at = 0
    for token in tokens:
        start = text.find(token, at)
        if start < 0:
            return None
        at = start + len(token)
        spans.append((start, at))
    return spans


def question_examples(folder: Path, name: str, seed: int) -> Iterator[Example]:
    """Statements of questions with their answers, true and false ones, and the passages that answer them."""
    corpus = {each.id: each for each in read(folder / "shared" / "corpus.jsonl.gz", CorpusDocument)}
    for row in read(folder / "train" / "queries.jsonl.gz", QueryRow):
        chance = random.Random(f"{seed}:{row.id}")  # noqa: S311  # no secret
        document = corpus.get(row.gold[0].doc_id or "") if len(row.gold) == 1 else None
        answer = row.answers[0] if row.answers else ""
        stated = state(row.question, answer) if document and answer else None
        if not document or not stated:
            continue
        sentences = sentences_of(document.text)
        holding = [at for at, each in enumerate(sentences) if fold(answer) in fold(each)]
        if not holding:
            continue
        claim = recase(stated, f"{document.title} {document.text}")
        best = max(holding, key=lambda at: coverage(claim, sentences[at]))
        context = document.title if chance.random() < 0.6 else ""
        second = readings(claim, sentences, [best], chance, 2)
        yield _example(name, document.id, claim, second[0], SUPPORTS, context)
        other = other_answer(answer, sentences, chance)
        false = state(row.question, other) if other else None
        if false:
            yield _example(name, document.id, recase(false, document.text), second[-1], CONTRADICTS, context)
        rest = sorted(
            (each for each in sentences if fold(answer) not in fold(each)), key=lambda each: -coverage(claim, each)
        )
        if rest:
            yield _example(name, document.id, claim, readings(claim, rest, [0], chance, 1)[0], NEITHER, context)


def other_answer(answer: str, sentences: Sequence[str], chance: random.Random) -> str | None:
    """A wrong answer of the same kind, by preference from the same passage."""
    if re.search(r"\d", answer):
        return corrupt(answer, [], chance)
    words = set(fold(answer).split())
    names = [name for name in list_names(sentences) if not words & set(fold(name).split())]
    return chance.choice(names) if names and answer[:1].isupper() else None


def bare_claim(text: str) -> str:
    """A claim without the marks of its citations."""
    return tidy(MARKER.sub("", text))


def _example(
    name: str, group: str, claim: str, second: str, label: float, context: str = "", weight: float = 1.0
) -> Example:
    return Example(
        first=claim, second=second, context=context, label=label, group=f"{name}:{group}", source=name, weight=weight
    )
