"""Recall at k."""

from collections.abc import Collection, Sequence


def recall(ranked: Sequence[str], gold: Collection[str], k: int) -> float:
    """The share of the gold ids among the first `k`, 0 to 1."""
    return len(set(ranked[:k]) & set(gold)) / len(set(gold))
