"""The head `support`: does this source state what is claimed, does it say otherwise, or neither."""

import random
from collections.abc import Iterator
from pathlib import Path

from pipelines.core.encoders.source import BUILTIN, fingerprint
from pipelines.core.encoders.spec import HeadSpec
from services.evaluation.rows import CorpusDocument, read
from services.training.examples import Example
from services.training.support_made import Text, made_examples
from services.training.support_real import (
    expertqa_examples,
    fm2_examples,
    page_texts,
    question_examples,
    wice_examples,
)

LABELS = ("supports", "contradicts", "neither")
MAX_TOKENS = 256
HELD_OUT = 0.2
CORPORA = ("multihop_wiki", "nq_gold", "clapnq", "mtrag")
"""Sets whose shared text claims are made from."""
DOCUMENTS = 4000
"""Documents of the corpora that a claim is made from."""
PAGE_CLAIMS = 1
"""Claims that are made from each page or passage that the sets' claims cite."""


def spec() -> HeadSpec:
    """The head before it is trained."""
    return HeadSpec(
        name="support", version="1", backbone=fingerprint(BUILTIN), pair_labels=LABELS, max_tokens=MAX_TOKENS
    )


def real_examples(data: Path, seed: int) -> Iterator[Example]:
    """Examples from the training parts of the sets."""
    yield from fm2_examples(data / "fm2", seed)
    yield from expertqa_examples(data / "expertqa", seed)
    yield from wice_examples(data / "wice", seed)
    yield from question_examples(data / "nq_gold", "nq_gold", seed)


def examples(data: Path, seed: int) -> list[Example]:
    """All examples: from people, and made from text of the corpora and of the pages that claims cite."""
    texts = [*corpus_texts(data, DOCUMENTS, seed), *PAGE_CLAIMS * list(page_texts(data))]
    return [*real_examples(data, seed), *made_examples(texts, seed)]


def corpus_texts(data: Path, count: int, seed: int) -> list[Text]:
    """Documents of the shared corpora, drawn evenly from them as far as they go."""
    chance = random.Random(seed)  # noqa: S311  # no secret
    found: list[Text] = []
    for left, name in zip(range(len(CORPORA), 0, -1), ("clapnq", "nq_gold", "multihop_wiki", "mtrag"), strict=True):
        documents = list(read(data / name / "shared" / "corpus.jsonl.gz", CorpusDocument))
        drawn = chance.sample(documents, min(len(documents), (count - len(found)) // left))
        found.extend(Text.cut(each.title, each.text) for each in drawn)
    chance.shuffle(found)
    return found
