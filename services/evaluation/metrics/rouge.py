"""Longest common subsequence of an answer's and a gold answer's words."""

import re
from collections.abc import Iterable, Sequence

from pipelines.core.text import fold

_WORD = re.compile(r"[^\W_]+")


def rouge_l(text: str, answers: Iterable[str]) -> float:
    """F1 of the longest common subsequence of words with the gold answer that it is nearest to, 0 to 1; no stemming.

    Source: Lin, "ROUGE: A Package for Automatic Evaluation of Summaries" (2004), section 3, with β = 1.
    """
    words = _WORD.findall(fold(text))
    return max((_f1(words, _WORD.findall(fold(answer))) for answer in answers), default=0.0)


def _f1(words: Sequence[str], gold: Sequence[str]) -> float:
    common = _common(words, gold)
    return 2 * common / (len(words) + len(gold)) if common else 0.0


def _common(left: Sequence[str], right: Sequence[str]) -> int:
    """Length of the longest common subsequence: all rows of the table as the bits of one integer each.

    Source: Hyyrö, "Bit-parallel LCS-length computation revisited" (2004).
    """
    places: dict[str, int] = {}
    for at, word in enumerate(right):
        places[word] = places.get(word, 0) | 1 << at
    everything = (1 << len(right)) - 1
    row = everything
    for word in left:
        matched = row & places.get(word, 0)
        row = (row + matched | row - matched) & everything
    return len(right) - row.bit_count()
