"""How much of the gold evidence a ranking of sentences keeps."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SHARES = (0.1, 0.2, 0.3)
"""Shares of the candidates' tokens that are kept."""


@dataclass(frozen=True, slots=True)
class Ranked:
    """The sentences of one question's candidates: scores, tokens, and whether each is gold; `(n,)` each."""

    scores: NDArray[np.float32]
    tokens: NDArray[np.int64]
    gold: NDArray[np.bool_]


def kept_gold(ranked: Ranked, share: float) -> float:
    """Share of the gold sentences among the best ones that fit into a share of all tokens.

    Sentences are kept from the best one on until the next would not fit.
    """
    order = np.argsort(-ranked.scores, kind="stable")
    fits = np.cumsum(ranked.tokens[order]) <= share * ranked.tokens.sum()
    return float(ranked.gold[order][fits].sum() / ranked.gold.sum())


def mean_kept(questions: Sequence[Ranked]) -> list[float]:
    """The mean over questions, for each of `SHARES`."""
    return [float(np.mean([kept_gold(each, share) for each in questions])) for share in SHARES]
