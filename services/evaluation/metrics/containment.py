"""Whether an answer holds one of the gold answers."""

import re
import string
from collections.abc import Iterable

from pipelines.core.text import fold

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans(dict.fromkeys(string.punctuation, " "))


def contains_answer(text: str, answers: Iterable[str]) -> bool:
    """Whether the words of any gold answer stand in the text in a row, case, punctuation and articles aside.

    Source: best-subspan exact match of Liu et al., "Lost in the Middle" (arXiv 2307.03172), on whole words.
    """
    normal = f" {_normal(text)} "
    return any(f" {_normal(answer)} " in normal for answer in answers if _normal(answer))


def _normal(text: str) -> str:
    return " ".join(_ARTICLES.sub(" ", fold(text).translate(_PUNCTUATION)).split())
