"""The head `sufficiency`: its examples, how it is measured while it is trained, and its calibration."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipelines.core.encoders import Encoder, Head, Heads
from pipelines.core.encoders.source import BUILTIN, fingerprint
from pipelines.core.encoders.spec import HeadSpec
from pipelines.core.settings import EncoderSettings, HeadSettings
from pipelines.sufficiency import JUDGED_FEATURES, judged_row, read_sufficiency, sufficiency_pair
from services.evaluation.data.split import is_held_out
from services.evaluation.metrics.auroc import auroc
from services.training.examples import Example, split_by_group
from services.training.network.loop import Score, TrainOptions
from services.training.sufficiency.calibration import fit, measure
from services.training.sufficiency.cases import held_out_cases
from services.training.sufficiency.data import sufficiency_examples

MAX_TOKENS = 512
HELD_OUT = 0.12
MADE = 1500
"""Questions that are made from the corpora."""
VALIDATED = 700
UNSEEN = ("expertqa", "cast_rewrite")
"""Sources of questions that the calibration asks: those that nothing is trained on here."""
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


def calibrated(head: Head, encoder: Encoder, data: Path, seed: int) -> dict[str, float]:
    """Weights of `JUDGED_FEATURES`, fitted on what the prune stage keeps for questions that the head did not see.

    The head `evidence` is the one that comes with Strata.

    Raises:
        InvalidRequestError: a set is missing or malformed.
    """
    reader = Heads(EncoderSettings(), HeadSettings(evidence="builtin")).get("evidence")
    assert reader is not None
    cases = (case for case in held_out_cases(encoder, data, seed) if case.source in UNSEEN)
    measured = measure(cases, reader, encoder)
    pairs = [sufficiency_pair(each.case.question, each.evidence.items) for each in measured]
    logits = head.score(pairs).pairs[:, 0].tolist()
    rows = [
        judged_row(logit, read_sufficiency(each.read, each.features))
        for logit, each in zip(logits, measured, strict=True)
    ]
    weights = fit(np.array(rows), [each.case for each in measured]).weights
    return {name: round(weight, 4) for name, weight in zip(JUDGED_FEATURES, weights.tolist(), strict=True)}
