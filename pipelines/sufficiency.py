"""Whether the best sentences answer the question: what abstention rests on."""

import math
from collections.abc import Sequence

from pipelines.relevance import Scored


def estimate_sufficiency(question: str, sentences: Sequence[str], scored: Scored) -> float:
    """Estimated probability that the sentences answer the question."""
    if not sentences:
        return 0.0
    logit = -4.0 + 4.0 * float(scored.cosine.max()) + 5.0 * float(scored.overlap.max())
    return 1.0 / (1.0 + math.exp(-logit))
