"""The head `resolve`: its examples, how it is measured while it is trained, and its threshold."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from services.training.conversations import MADE, Conversations
from services.training.examples import Example, is_held_out, split_by_group
from services.training.loop import Score
from services.training.resolve_data import CAST, cast_examples, topics

HELD_OUT = 0.25
"""Share of CAsT's conversations that is held out: they are few."""
MADE_HELD_OUT = 0.08
CAST_COPIES = 3
"""How often human rewrites are read for each time that made ones are: there are ten times as many of those."""


def examples(data: Path, seed: int, each: int = 2) -> tuple[list[Example], list[Example]]:
    """Training and held-out examples.

    Raises:
        InvalidRequestError: a file is missing or malformed.
    """
    human, human_held = split_by_group(list(cast_examples(data)), HELD_OUT)
    made_of = [[], []]
    for topic in topics(data, seed):
        made_of[is_held_out(topic.id, MADE_HELD_OUT)].append(topic)
    made, made_held = (list(Conversations(part, seed).examples(each)) for part in made_of)
    copies = [
        example.model_copy(update={"group": f"{example.group}#{at}.{copy}"})
        for copy in range(CAST_COPIES)
        for at, example in enumerate(human)
    ]
    return [*copies, *made], [*human_held, *made_held]


def validate(held_out: Sequence[Example], score: Score) -> float:
    """The mean of the average precision of needed words on human rewrites and on made conversations."""
    _, spans = score([example.pair for example in held_out])
    return float(np.mean([_precision(held_out, spans, source) for source in (CAST, MADE)]))


def _precision(held_out: Sequence[Example], spans: Sequence[NDArray[np.float32]], source: str) -> float:
    chosen = [at for at, example in enumerate(held_out) if example.source == source]
    values = np.concatenate([spans[at][:, 0] for at in chosen])
    labels = np.concatenate([held_out[at].span_labels or () for at in chosen])
    return average_precision(values, labels)


def average_precision(values: NDArray[np.float32], labels: NDArray[np.float64]) -> float:
    """Area under precision and recall, by the values from high to low; of no positive label, 0."""
    hits = labels[np.argsort(-values, kind="stable")] > 0.5
    if not hits.any():
        return 0.0
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    return float(precision[hits].mean())
