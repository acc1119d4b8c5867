"""Weighted reciprocal rank fusion.

Done here and not inside Qdrant: its weighted RRF divides the *rank* by the weight, `1 / (rank / w + k - 1)`
(qdrant_client.hybrid.fusion, 1.20), so that with k = 60 a ranking of weight 0.1 still votes almost as loudly as one of
weight 1 at the top. Here a weight scales the vote, both back ends agree by construction, and ties are settled.
"""

from collections.abc import Iterable, Mapping, Sequence

Ranking = tuple[float, Sequence[str]]
"""A weight, and ids from best to worst."""


def fuse(rankings: Iterable[Ranking], rrf_k: int) -> dict[str, float]:
    """Scores by id: the sum over rankings of `weight / (rrf_k + rank)`, ranks from 1; higher is better.

    Source: Cormack et al., "Reciprocal Rank Fusion outperforms Condorcet" (SIGIR 2009), section 2; weights added.
    """
    scores: dict[str, float] = {}
    for weight, ids in rankings:
        for rank, each in enumerate(ids, start=1):
            scores[each] = scores.get(each, 0.0) + weight / (rrf_k + rank)
    return scores


def best(scores: Mapping[str, float], limit: int) -> list[str]:
    """The `limit` ids with the highest scores, equal scores in the order of ids."""
    return sorted(scores, key=lambda each: (-scores[each], each))[:limit]
