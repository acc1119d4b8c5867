"""The head `support`: does this source state what is claimed, does it say otherwise, or neither."""

import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from pipelines.claims import claim_features
from pipelines.core.encoders import Encoder, Head
from pipelines.core.encoders.source import BUILTIN, fingerprint
from pipelines.core.encoders.spec import HeadSpec
from pipelines.core.odds import label_log_odds
from pipelines.verify import Check, Verifier, cosines_of
from services.evaluation.data.rows import CorpusDocument, read
from services.evaluation.data.split import CLAIMS_HELD_OUT
from services.evaluation.metrics.auroc import auroc
from services.training.examples import Example, split_by_group
from services.training.network.loop import Score, TrainOptions
from services.training.support.calibration import calibrate, calibrate_claims, held_out_claims, trained_claims
from services.training.support.made import SUPPORTS, Text, made_examples
from services.training.support.real import (
    expertqa_examples,
    fm2_examples,
    page_texts,
    question_examples,
    wice_examples,
)

LABELS = ("supports", "contradicts", "neither")
MAX_TOKENS = 256
HELD_OUT = CLAIMS_HELD_OUT
CORPORA = ("clapnq", "nq_gold", "multihop_wiki", "mtrag")
"""Sets whose shared text claims are made from, the smallest first."""
DOCUMENTS = 5000
"""Documents of the corpora that a claim is made from."""
CLAIM_DRAWS, QUESTION_DRAWS = 5, 2
"""How often examples are drawn from each claim of people and each question: each time with other sentences beside those
needed, and with something else changed. People's claims are few, and teach what rules cannot make."""
VALIDATED = 4000
"""Held-out examples that a head in training is measured on."""
BATCH = 32
"""Claims that are read together when the head is calibrated."""
OPTIONS = TrainOptions(epochs=1.0, rate=1e-3, step_tokens=3072, checks=6)


def spec() -> HeadSpec:
    """The head before it is trained."""
    return HeadSpec(
        name="support", version="1", backbone=fingerprint(BUILTIN), pair_labels=LABELS, max_tokens=MAX_TOKENS
    )


def real_examples(data: Path, seed: int) -> Iterator[Example]:
    """Examples from the training parts of the sets."""
    for draw in range(CLAIM_DRAWS):
        yield from fm2_examples(data / "fm2", seed + draw)
        yield from expertqa_examples(data / "expertqa", seed + draw)
        yield from wice_examples(data / "wice", seed + draw)
    for draw in range(QUESTION_DRAWS):
        yield from question_examples(data / "nq_gold", "nq_gold", seed + draw)


def corpus_texts(data: Path, count: int, seed: int) -> list[Text]:
    """Documents of the shared corpora, drawn evenly from them as far as they go."""
    chance = random.Random(seed)  # noqa: S311  # no secret
    found: list[Text] = []
    for left, name in zip(range(len(CORPORA), 0, -1), CORPORA, strict=True):
        documents = list(read(data / name / "shared" / "corpus.jsonl.gz", CorpusDocument))
        drawn = chance.sample(documents, min(len(documents), (count - len(found)) // left))
        found.extend(Text.cut(each.title, each.text) for each in drawn)
    chance.shuffle(found)
    return found


def examples(data: Path, seed: int) -> tuple[list[Example], list[Example]]:
    """Training and held-out examples: from people, and made from text of the corpora and of the pages that claims cite.

    Raises:
        InvalidRequestError: a file is missing or malformed.
    """
    texts = [*corpus_texts(data, DOCUMENTS, seed), *page_texts(data)]
    found = [*real_examples(data, seed), *made_examples(texts, seed)]
    random.Random(seed).shuffle(found)  # noqa: S311  # no secret
    return split_by_group(found, HELD_OUT)


def validate(held_out: Sequence[Example], score: Score) -> float:
    """Mean over sources of the area under the curve of supported pairs against the others."""
    some = held_out[:VALIDATED]
    logits, _ = score([example.pair for example in some])
    odds = label_log_odds(logits)[:, int(SUPPORTS)]
    supported = np.array([example.label == SUPPORTS for example in some])
    sources = np.array([example.source.partition("/")[0] for example in some])
    return float(np.mean([auroc(odds[sources == name], supported[sources == name]) for name in sorted(set(sources))]))


def calibrated(head: Head, encoder: Encoder, data: Path, seed: int) -> dict[str, float]:
    """Weights and threshold of `pipelines.verify`: of claims from those trained on, of readings from those held out."""
    trained = [claim for claim in trained_claims(data, HELD_OUT) if claim.check.sources]
    of_trained = [
        claim_features(check.claim, check.sources, check.contexts, cosines)
        for some in _batches([claim.check for claim in trained])
        for check, cosines in zip(some, cosines_of(some, encoder)[0], strict=True)
    ]
    claims = list(held_out_claims(data, HELD_OUT, seed))
    verifier = Verifier(head, encoder)
    verdicts = [verdict for some in _batches([claim.check for claim in claims]) for verdict in verifier.verify(some)[0]]
    return calibrate(claims, verdicts, calibrate_claims(trained, of_trained))


def _batches(checks: Sequence[Check]) -> Iterator[Sequence[Check]]:
    return (checks[first : first + BATCH] for first in range(0, len(checks), BATCH))
