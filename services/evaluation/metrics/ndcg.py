"""Normalised discounted cumulative gain at k."""

import math
from collections.abc import Collection, Sequence


def ndcg(ranked: Sequence[str], gold: Collection[str], k: int) -> float:
    """Binary gains, 0 to 1. The ideal ranking has as many of the gold ids first as fit into `k`.

    Source: Järvelin and Kekäläinen, "Cumulated gain-based evaluation of IR techniques" (TOIS 2002), section 2.2, with
    the logarithm of rank + 1 as in trec_eval.
    """
    gained = sum(1 / math.log2(rank + 1) for rank, each in enumerate(ranked[:k], 1) if each in set(gold))
    ideal = sum(1 / math.log2(rank + 1) for rank in range(1, min(k, len(set(gold))) + 1))
    return gained / ideal
