"""How a claim's source is read in training: a sentence alone, with its neighbours, joined from several, or whole."""

import random
from collections.abc import Sequence

from pipelines.support import coverage

MOST_WORDS = 110
"""Words of a longest second text: with the claim they fit the window of the head."""


def readings(
    claim: str, sentences: Sequence[str], needed: Sequence[int], chance: random.Random, count: int
) -> list[str]:
    """Some second texts that hold the sentences that are needed, each made another way.

    Args:
        sentences: The source, in order.
        needed: Places of the sentences that decide about the claim.
    """
    near = sorted(range(len(sentences)), key=lambda at: -coverage(claim, sentences[at]))
    widest = set(needed) | {at + step for at in needed for step in (-1, 1)}
    ways = [
        set(needed),
        set(needed),
        set(needed),
        {at for at in widest if 0 <= at < len(sentences)},
        set(needed) | set(near[: chance.randint(2, 3)]),
        set(needed) | set(near[:4]),
    ]
    found = [_join(sentences, way, needed) for way in chance.sample(ways, len(ways))]
    return list(dict.fromkeys(found))[:count]


def _join(sentences: Sequence[str], chosen: set[int], needed: Sequence[int]) -> str:
    """The chosen sentences in their order; where that is too long, those that are not needed go first."""
    kept = sorted(chosen)
    while len(kept) > len(needed) and sum(len(sentences[at].split()) for at in kept) > MOST_WORDS:
        kept.remove(next(at for at in reversed(kept) if at not in needed))
    return " ".join(sentences[at] for at in kept)
