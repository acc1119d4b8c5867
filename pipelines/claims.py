"""What words, names, numbers and cosines tell of a claim and all of its sources, before any is read."""

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipelines.core.text import terms
from pipelines.support import numbers_agree

CLAIM_FEATURES = ("near", "stated_numbers", "missing_names", "length", "page", "together")
"""The mean cosine of the nearest sentences of one text; whether all numbers of the claim stand in the sources; how many
of its names stand in none; the logarithm of its terms, 0 where the sources are a page; whether they are one; and the
share of the claim's terms that the best two sentences of a page have, 0 where there is none."""

NEAR = 5
"""Sentences of the nearest text whose cosines tell what it is about: over claims of experts the mean of five told more
than the highest (expertqa, train: area under the curve .66 and .64)."""
PAGE = 10
"""Sentences from which sources are a page: most claims have some of their words in one, so that where they stand
counts. Two sentences told more than all of them (wice, train: area under the curve .77 and .73)."""
MOST_NAMES = 3
"""Names that stand nowhere, from which more make no difference."""

_WORD = re.compile(r"\w[\w'’.-]*")

Row = NDArray[np.float32]


def claim_features(
    claim: str, sources: Sequence[str], contexts: Sequence[str], cosines: Row, texts: Sequence[int] = ()
) -> Row:
    """One number for each of `CLAIM_FEATURES`.

    Args:
        contexts: Titles and sections: a name in one of them stands in its source.
        cosines: Of the claim with each source, `(n,)`; below -1 where they are not near.
        texts: Which text each source is of; without them all are of one.
    """
    stated = terms(claim)
    held = [terms(source) for source in sources]
    shared = [stated & each for each in held]
    page = len(sources) >= PAGE
    return np.array(
        [
            _nearness(cosines, texts),
            numbers_agree(claim, " ".join(sources)),
            min(len(_missing_names(claim, [*held, *map(terms, dict.fromkeys(contexts))])), MOST_NAMES),
            0.0 if page else np.log1p(len(stated)),
            page,
            _together(shared) / max(1, len(stated)) if page else 0.0,
        ],
        np.float32,
    )


def _nearness(cosines: Row, texts: Sequence[int]) -> float:
    """The mean cosine of the nearest sentences of the text that has the nearest of all."""
    if not cosines.size:
        return 0.0
    nearest = int(cosines.argmax())
    own = [place for place in range(len(cosines)) if not texts or texts[place] == texts[nearest]]
    return float(np.sort(np.maximum(cosines[own], 0))[::-1][:NEAR].mean())


def _missing_names(claim: str, held: Sequence[frozenset[str]]) -> list[str]:
    """Capitalised words of a claim, less its first, that do not stand in the terms held."""
    known: frozenset[str] = frozenset().union(*held)
    names = [word for word in _WORD.findall(claim)[1:] if word[0].isupper()]
    return [name for name in names if not terms(name) <= known]


def _together(shared: Sequence[frozenset[str]]) -> int:
    """Terms that the sentence with most of them has, and the one that adds most to it."""
    best = max(shared, key=len, default=frozenset[str]())
    return max((len(best | each) for each in shared), default=0)
