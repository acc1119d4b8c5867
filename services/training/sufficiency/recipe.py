"""The head `sufficiency`: its examples, how it is measured while it is trained, and its calibration."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipelines.core.encoders import Encoder, Head, Heads
from pipelines.core.encoders.source import BUILTIN, fingerprint
from pipelines.core.encoders.spec import HeadSpec
from pipelines.core.odds import log_odds
from pipelines.core.settings import EncoderSettings, HeadSettings, PruneSettings
from pipelines.core.tasks import PruneTask
from pipelines.core.types import Hit, Passage, Sentence
from pipelines.prune import EncoderPruner
from pipelines.sufficiency import FEATURES, feature_row, sufficiency_pair
from services.evaluation.metrics.auroc import auroc
from services.training.evidence.near_miss import Asked
from services.training.examples import Example, is_held_out, split_by_group
from services.training.logistic import fit_logistic
from services.training.network.loop import Score, TrainOptions
from services.training.sufficiency.data import EvidenceMaker, asked_questions, corpora, holds, sufficiency_examples
from services.training.texts import Text

MAX_TOKENS = 512
HELD_OUT = 0.12
MADE = 1500
"""Questions that are made from the corpora."""
VALIDATED = 700
CALIBRATED = {"nq_gold": 120, "made/question": 120}
"""Held-out questions that the calibration asks, by source."""
FOUND = 20
WRONG_ABSTENTION = 0.05
"""Share of the answerable held-out cases that fall below `prune.min_sufficiency`, as it is by default."""
OPTIONS = TrainOptions(epochs=1.0, rate=5e-4, rank=32, step_tokens=2048, listwise=0.5, max_s=3600, checks=5)


def spec() -> HeadSpec:
    """The head before it is trained."""
    return HeadSpec(
        name="sufficiency",
        version="1",
        backbone=fingerprint(BUILTIN),
        pair_labels=("sufficient",),
        max_tokens=MAX_TOKENS,
    )


def examples(data: Path, seed: int) -> tuple[list[Example], list[Example]]:
    """Training and held-out examples.

    Raises:
        InvalidRequestError: a file is missing or malformed.
    """
    fit, held_out = split_by_group(list(sufficiency_examples(data, seed, MADE)), HELD_OUT)
    return fit, sorted(held_out, key=lambda each: is_held_out(each.group, HELD_OUT / 3), reverse=True)


def validate(held_out: Sequence[Example], score: Score) -> float:
    """Mean over sources of the area under the curve of sufficient evidence against the other."""
    some = held_out[:VALIDATED]
    logits, _ = score([example.pair for example in some])
    values = logits[:, 0].astype(np.float64)
    enough = np.array([bool(example.label) for example in some])
    sources = np.array([example.source for example in some])
    return float(np.mean([auroc(values[sources == name], enough[sources == name]) for name in sorted(set(sources))]))


@dataclass(frozen=True, slots=True)
class Case:
    """A question with what was found for it, with its answer or without."""

    question: str
    hits: tuple[Hit, ...]
    answerable: bool


def held_out_cases(data: Path, seed: int) -> Iterator[Case]:
    """Each held-out question twice, as the index would find passages for it: with its gold passage, and without.

    Raises:
        InvalidRequestError: a file is missing or malformed.
    """
    chance = random.Random(seed)  # noqa: S311  # not for security
    texts = corpora(data)
    asked = asked_questions(data, texts, MADE, chance)
    maker = EvidenceMaker(texts, chance)
    left = dict(CALIBRATED)
    for number, each in enumerate(asked):
        if left.get(each.source, 0) and is_held_out(f"{each.source}/{number}", HELD_OUT):
            left[each.source] -= 1
            yield from _both(each, maker.find(each.question, FOUND))


def _both(asked: Asked, found: Sequence[Text]) -> Iterator[Case]:
    others = [text for text in found if text.id != asked.gold.id and not holds(text.text, asked.answers)]
    rank = next((rank for rank, text in enumerate(found) if text.id == asked.gold.id), 3)
    with_gold = [*others[:rank], asked.gold, *others[rank:]]
    yield Case(asked.question, _hits(with_gold[:FOUND]), True)
    yield Case(asked.question, _hits(others), False)


def _hits(texts: Sequence[Text]) -> tuple[Hit, ...]:
    return tuple(Hit(passage=_passage(text, rank), score=1 / (5 + rank)) for rank, text in enumerate(texts, 1))


def _passage(text: Text, rank: int) -> Passage:
    return Passage(
        id=f"{text.id}#{rank}",
        document_id=text.id,
        version="",
        section_id=text.id,
        title=text.context,
        source=text.id,
        start=0,
        end=len(text.text),
        text=text.text,
        sentences=tuple(Sentence(start=start, end=end) for start, end in text.spans),
    )


def calibrated(head: Head, encoder: Encoder, data: Path, seed: int) -> dict[str, float]:
    """Weights of `pipelines.sufficiency`, fitted on what the prune stage keeps for held-out questions.

    Its head `evidence` is the one that comes with Strata. The bias is not that of the cases, half of which cannot be
    answered: it is such that the default threshold abstains wrongly as seldom as `WRONG_ABSTENTION`.
    """
    settings = PruneSettings()
    heads = Heads(EncoderSettings(), HeadSettings(evidence="builtin", sufficiency="off"))
    pruner = EncoderPruner(encoder, settings, heads)
    rows, answerable = [], []
    for case in held_out_cases(data, seed):
        task = PruneTask(question=case.question, asked=case.question, hits=case.hits, timeout_s=60)
        evidence, scored = pruner.select(task)
        if scored.read:
            logit = float(head.score([sufficiency_pair(case.question, evidence.items)]).pairs[0, 0])
            rows.append(feature_row(logit, scored.read, scored.features[0]))
            answerable.append(case.answerable)
    features, enough = np.array(rows, np.float64), np.array(answerable)
    weights, _ = fit_logistic(features, enough)
    least = log_odds(settings.min_sufficiency)
    bias = least - float(np.quantile((features @ weights)[enough], WRONG_ABSTENTION))
    return {**dict(zip(FEATURES, weights.tolist(), strict=True)), "bias": bias}
