"""The head `resolve`: its examples, how it is measured while it is trained, and its threshold."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipelines.core.encoders import Encoder, Head
from pipelines.core.encoders.source import BUILTIN, fingerprint
from pipelines.core.encoders.spec import HeadSpec
from pipelines.core.odds import sigmoid
from pipelines.resolve import NEEDED
from services.evaluation.data.split import is_held_out
from services.training.examples import Example, split_by_group
from services.training.network.loop import Score, TrainOptions
from services.training.resolve.conversations import MADE, Conversations, Topic
from services.training.resolve.data import CAST, cast_examples, topics

HELD_OUT = 0.25
"""Share of CAsT's conversations that is held out: they are few."""
MADE_HELD_OUT = 0.08
MAX_TOKENS = 256
CAST_COPIES = 3
"""How often human rewrites are read for each time that made ones are: there are ten times as many of those."""

VALIDATED = 400
"""Made conversations that a head in training is measured on."""
OPTIONS = TrainOptions(epochs=3.6, rate=1.5e-3, step_tokens=1536, listwise=0.5, max_s=1800, checks=6)


def spec() -> HeadSpec:
    """The head before it is trained."""
    return HeadSpec(
        name="resolve", version="1", backbone=fingerprint(BUILTIN), span_labels=("needed",), max_tokens=MAX_TOKENS
    )


def examples(data: Path, seed: int) -> tuple[list[Example], list[Example]]:
    """Training and held-out examples.

    Raises:
        InvalidRequestError: a file is missing or malformed.
    """
    human, human_held = split_by_group(list(cast_examples(data)), HELD_OUT)
    made_of: tuple[list[Topic], list[Topic]] = ([], [])
    for topic in topics(data, seed):
        made_of[is_held_out(topic.id, MADE_HELD_OUT)].append(topic)
    made, made_held = (list(Conversations(part, seed).examples()) for part in made_of)
    copies = [
        example.model_copy(update={"group": f"{example.group}#{at}.{copy}"})
        for copy in range(CAST_COPIES)
        for at, example in enumerate(human)
    ]
    return [*copies, *made], [*human_held, *made_held[:VALIDATED]]


def validate(held_out: Sequence[Example], score: Score) -> float:
    """The mean of the average precision of needed words on human rewrites and on made conversations."""
    _, spans = score([example.pair for example in held_out])
    return float(np.mean([_precision(held_out, spans, source) for source in (CAST, MADE)]))


def _precision(held_out: Sequence[Example], spans: Sequence[NDArray[np.float32]], source: str) -> float:
    chosen = [at for at, example in enumerate(held_out) if example.source == source]
    values = np.concatenate([spans[at][:, 0] for at in chosen])
    labels = np.concatenate([held_out[at].span_labels or () for at in chosen])
    return average_precision(values, labels)


def calibrated(head: Head, encoder: Encoder, data: Path, seed: int) -> dict[str, float]:
    """The threshold of a needed word with the best F-measure on the held-out human rewrites."""
    held_out = [example for example in cast_examples(data) if is_held_out(example.group, HELD_OUT)]
    spans = head.score([example.pair for example in held_out]).spans
    values = sigmoid(np.concatenate([each[:, 0] for each in spans]))
    labels = np.concatenate([example.span_labels or () for example in held_out]) > 0.5
    grid = np.arange(0.02, 0.9, 0.02)
    return {NEEDED: round(float(max(grid, key=lambda threshold: f_measure(values >= threshold, labels))), 2)}


def f_measure(said: NDArray[np.bool_], true: NDArray[np.bool_]) -> float:
    """The harmonic mean of precision and recall; 0 where nothing is right."""
    return 2.0 * float((said & true).sum()) / max(1, int(true.sum()) + int(said.sum()))


def average_precision(values: NDArray[np.float32], labels: NDArray[np.float64]) -> float:
    """Area under precision and recall, by the values from high to low; of no positive label, 0."""
    hits = labels[np.argsort(-values, kind="stable")] > 0.5
    if not hits.any():
        return 0.0
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    return float(precision[hits].mean())
