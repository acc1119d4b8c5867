"""The head `evidence`: does this passage, and which of its sentences, help to answer this question."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np

from pipelines.core.encoders import Encoder, Head, Heads
from pipelines.core.encoders.source import BUILTIN, fingerprint
from pipelines.core.encoders.spec import HeadSpec
from pipelines.core.settings import EncoderSettings, HeadSettings
from pipelines.core.text import content_words
from services.evaluation.data.rows import CorpusDocument, read
from services.evaluation.data.split import is_held_out
from services.training.evidence.calibration import calibrate, read_cases
from services.training.evidence.cases import conversation_cases, multi_hop_cases, search_cases
from services.training.evidence.hotpot import SOURCE as HOTPOT
from services.training.evidence.hotpot import hotpot_examples, hotpot_texts
from services.training.evidence.kept import Ranked, mean_kept
from services.training.evidence.library import Library
from services.training.evidence.made_questions import asked_there, made_questions
from services.training.evidence.multihop import comparison_questions, two_paragraph_questions
from services.training.evidence.near_miss import Asked, near_miss_group
from services.training.evidence.real import claims, conversations, search_questions
from services.training.examples import Example, groups_of, split_by_group
from services.training.network.loop import Score, TrainOptions
from services.training.texts import Text

MAX_TOKENS = 256
HELD_OUT = 0.2
"""Share of the HotpotQA questions."""
SEARCH_HELD_OUT = 0.1
"""Share of the NQ questions."""
HOTPOT_COPIES = 3
DOMAINS = {"cloud": 1200, "fiqa": 1200, "clapnq": 800}
"""Questions that are made from each domain of MTRAG's corpus."""
ASKED = 700
"""Questions of each domain that stand in the text themselves."""
DOMAIN_TEXTS = 6000
"""Passages of a domain that questions and near misses are taken from."""
TWO_PARAGRAPHS, COMPARISONS = 1500, 150
MISSES = 4
FOUND = 20
OPTIONS = TrainOptions(epochs=1.0, rate=7e-4, rank=32, step_tokens=8192, checks=6)


def spec() -> HeadSpec:
    """The head before it is trained."""
    return HeadSpec(
        name="evidence",
        version="1",
        backbone=fingerprint(BUILTIN),
        pair_labels=("helps",),
        span_labels=("helps",),
        max_tokens=MAX_TOKENS,
    )


def examples(data: Path, seed: int) -> tuple[list[Example], list[Example]]:
    """Training and held-out examples. Embeds the corpora for near misses, which takes some minutes.

    Raises:
        InvalidRequestError: a set is missing or malformed.
    """
    chance = random.Random(seed)  # noqa: S311  # no secret
    hotpot, hotpot_held = split_by_group(list(hotpot_examples(data)), HELD_OUT)
    search, search_held = split_by_group(list(_search(data, chance)), SEARCH_HELD_OUT)
    copies = [
        each.model_copy(update={"group": f"{each.group}#{copy}"}) for copy in range(HOTPOT_COPIES) for each in hotpot
    ]
    made = [*_multi_hop(data, chance), *_domains(data, chance), *claims(data, chance)]
    return [*copies, *search, *made], [*hotpot_held, *search_held]


def validate(held_out: Sequence[Example], score: Score) -> float:
    """The mean of the gold sentences kept, and half of how often the passage that answers comes first."""
    groups = list(groups_of(held_out))
    pairs, spans = score([example.pair for group in groups for example in group])
    ranked: list[Ranked] = []
    first: list[bool] = []
    at = 0
    for group in groups:
        if group[0].source == HOTPOT:
            ranked.append(_ranked(group, np.concatenate([each[:, 0] for each in spans[at : at + len(group)]])))
        else:
            logits = pairs[at : at + len(group), 0]
            first.append(bool((group[int(logits.argmax())].label or 0) > 0.5))
        at += len(group)
    return float(np.mean(mean_kept(ranked)) + 0.5 * np.mean(first or [False]))


def calibrated(head: Head, encoder: Encoder, data: Path, seed: int) -> dict[str, float]:
    """Weights and the threshold, from the questions that are held out, and from conversations.

    Raises:
        InvalidRequestError: a set is missing or malformed.
    """
    multi = multi_hop_cases(encoder, data, lambda id_: is_held_out(id_, HELD_OUT))
    held_out = partial(is_held_out, share=SEARCH_HELD_OUT)
    whole = search_cases(encoder, data, held_out)
    partly = search_cases(encoder, data, held_out, random.Random(seed))  # noqa: S311  # no secret
    resolve = Heads(EncoderSettings(), HeadSettings()).get("resolve")
    talked = conversation_cases(encoder, resolve, data, seed) if resolve else []
    return calibrate(*(read_cases(head, each) for each in (multi, whole, [*partly, *talked])))


def _search(data: Path, chance: random.Random) -> Iterator[Example]:
    library = _library([*_texts(data / "nq_gold"), *_domain(data, "clapnq", chance)])
    for asked in search_questions(data):
        yield from _group(asked, library, asked.group, chance)


def _multi_hop(data: Path, chance: random.Random) -> Iterator[Example]:
    texts = {id_: text for id_, text in hotpot_texts(data).items() if text.spans}
    library = _library(list(texts.values()))
    two = islice(two_paragraph_questions(texts, chance), TWO_PARAGRAPHS)
    compared = islice(comparison_questions(list(texts.values()), chance), COMPARISONS)
    for number, asked in enumerate([*two, *compared]):
        yield from _group(asked, library, f"{asked.source}/{number}", chance)


def _domains(data: Path, chance: random.Random) -> Iterator[Example]:
    for domain, count in DOMAINS.items():
        texts = _domain(data, domain, chance)
        library = _library(texts)
        made: list[Asked] = list(islice(made_questions(texts, f"made/{domain}", chance), count))
        made += islice(made_questions(texts, f"asked/{domain}", chance, (asked_there,)), ASKED)
        if domain == "clapnq":
            made += conversations(data)
        for number, asked in enumerate(made):
            yield from _group(_told(asked, chance), library, f"{asked.source}/{domain}/{number}", chance)


def _group(asked: Asked, library: Library, group: str, chance: random.Random) -> Iterator[Example]:
    found = [text for text, _ in library.find(asked.question, FOUND)]
    yield from near_miss_group(asked, found, group, misses=MISSES, chance=chance)


def _told(asked: Asked, chance: random.Random) -> Asked:
    """Sometimes with words of its passage behind it, as the plan stage adds words of earlier turns."""
    if chance.random() > 0.3 or not asked.source.startswith("made/"):
        return asked
    known = asked.question.casefold()
    words = [each for each in dict.fromkeys(content_words(asked.gold.text)) if each.isalpha() and each not in known]
    some = chance.sample(words, min(len(words), chance.randint(1, 3)))
    return replace(asked, question=" ".join((asked.question.rstrip("?"), *some)))


def _texts(folder: Path) -> list[Text]:
    return [Text.of_document(each) for each in read(folder / "shared" / "corpus.jsonl.gz", CorpusDocument)]


def _domain(data: Path, domain: str, chance: random.Random) -> list[Text]:
    documents = read(data / "mtrag" / "shared" / "corpus.jsonl.gz", CorpusDocument)
    some = [each for each in documents if each.meta.get("domain") == domain]
    return [Text.of_document(each) for each in chance.sample(some, min(DOMAIN_TEXTS, len(some)))]


def _library(texts: Sequence[Text]) -> Library:
    return Library(texts, Encoder(EncoderSettings()))


def _ranked(group: Sequence[Example], scores: "np.ndarray[tuple[int], np.dtype[np.float32]]") -> Ranked:
    spans = [(each, *span) for each in group for span in each.spans]
    tokens = np.array([len(each.second[start:end].split()) for each, start, end in spans], np.int64)
    gold = np.array([label > 0.5 for each in group for label in each.span_labels or ()], np.bool_)
    return Ranked(scores, tokens, gold)
