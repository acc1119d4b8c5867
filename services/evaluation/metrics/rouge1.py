"""Words that a text shares with a reference."""

import re
from collections import Counter

from pipelines.core.text import fold

_WORD = re.compile(r"[^\W_]+")


def rouge_1(text: str, reference: str) -> float:
    """F1 of the words, each as often as it comes in both, 0 to 1; no stemming.

    Source: Lin, "ROUGE: A Package for Automatic Evaluation of Summaries" (2004), section 2, with β = 1.
    """
    words, gold = Counter(_WORD.findall(fold(text))), Counter(_WORD.findall(fold(reference)))
    common = (words & gold).total()
    return 2 * common / (words.total() + gold.total()) if common else 0.0
