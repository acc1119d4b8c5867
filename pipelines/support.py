"""How far a source sentence supports a claim: the in-process cite stage's measure."""

import re
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from pipelines.core.encoders import Encoder
from pipelines.core.text import fold, terms
from pipelines.core.types import MARKER, Usage

WRONG_NUMBER_FACTOR = 0.4
"""What is left of the support when the claim has a number that the sentence has not."""

_NUMBER = re.compile(r"\d+(?:[.,:/-]\d+)*")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_RANGE = re.compile(r"[-/]")
_WORDS = {
    word: str(number)
    for number, word in enumerate("zero one two three four five six seven eight nine ten eleven twelve".split())
}
_NUMBER_WORD = re.compile(rf"\b({'|'.join(_WORDS)})\b")
_BARE = re.compile(r"[\W_]+")


def support_scores(
    claims: Sequence[str], sources: Sequence[str], encoder: Encoder | None
) -> tuple[NDArray[np.float32], Usage]:
    """Support of each claim by each source, 0 to 1, and what it took.

    A claim that stands in a source word for word has 1, and where all claims do, nothing is embedded. Otherwise it is
    the mean of the cosine and of the share of the claim's terms in the source, cut where a number differs. Without an
    encoder that share decides alone.

    Returns:
        `(len(claims), len(sources)) float32`.
    """
    support = np.zeros((len(claims), len(sources)), np.float32)
    if not claims or not sources:
        return support, Usage()
    open_claims = []
    for row, claim in enumerate(claims):
        verbatim = np.array([stands_in(claim, source) for source in sources])
        support[row][verbatim] = 1.0
        if not verbatim.any():
            open_claims.append(row)
    if not open_claims:
        return support, Usage()
    shared = np.array([[coverage(claims[row], source) for source in sources] for row in open_claims], np.float32)
    agree = np.array([[numbers_agree(claims[row], source) for source in sources] for row in open_claims])
    alike, usage = (
        (shared, Usage()) if encoder is None else _cosines([claims[row] for row in open_claims], sources, encoder)
    )
    support[open_claims] = (alike + shared) / 2 * np.where(agree, 1.0, WRONG_NUMBER_FACTOR)
    return support, usage


def _cosines(claims: Sequence[str], sources: Sequence[str], encoder: Encoder) -> tuple[NDArray[np.float32], Usage]:
    embedded = encoder.embed([*claims, *sources])
    vectors = embedded.vectors
    return np.clip(vectors[: len(claims)] @ vectors[len(claims) :].T, 0.0, 1.0), embedded.usage


def stands_in(claim: str, source: str) -> bool:
    """Whether a claim stands in a source word for word, punctuation and markers aside."""
    bare = _bare(claim)
    return bool(bare) and f" {bare} " in f" {_bare(source)} "


def coverage(claim: str, source: str) -> float:
    """The share of the claim's terms that the source holds, 0 to 1."""
    words = terms(claim)
    return len(words & terms(source)) / max(1, len(words))


def numbers_agree(claim: str, source: str) -> bool:
    """Whether the source has every number of the claim: `1,000` is `1000`, `1996-97` has 1996, `six` is 6."""
    stated = _numbers(claim)
    return not stated or stated <= _numbers(source) | {_WORDS[word] for word in _NUMBER_WORD.findall(source.casefold())}


@lru_cache(maxsize=4096)
def _numbers(text: str) -> frozenset[str]:
    found = _NUMBER.findall(_THOUSANDS.sub("", text))
    return frozenset(part for number in found for part in _RANGE.split(number))


@lru_cache(maxsize=4096)
def _bare(text: str) -> str:
    return _BARE.sub(" ", fold(MARKER.sub(" ", text))).strip()
