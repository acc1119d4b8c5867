"""How far a source sentence supports a claim: the in-process cite stage's measure."""

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipelines.core.encoders import Encoder
from pipelines.core.text import fold, terms
from pipelines.core.types import MARKER, Usage

WRONG_NUMBER_FACTOR = 0.4
"""What is left of the support when the claim has a number that the sentence has not."""

_NUMBER = re.compile(r"\d+(?:[.,:/-]\d+)*")
_BARE = re.compile(r"[\W_]+")


def support_scores(
    claims: Sequence[str], sources: Sequence[str], encoder: Encoder
) -> tuple[NDArray[np.float32], Usage]:
    """Support of each claim by each source, 0 to 1, and what it took.

    A claim that stands in a source word for word has 1, and where all claims do, nothing is embedded. Otherwise it is
    the mean of the cosine and of the share of the claim's terms in the source, cut where a number differs.

    Returns:
        `(len(claims), len(sources)) float32`.
    """
    support = np.zeros((len(claims), len(sources)), np.float32)
    if not claims or not sources:
        return support, Usage()
    bare_sources = [_bare(source) for source in sources]
    open_claims = []
    for row, claim in enumerate(claims):
        bare = _bare(claim)
        verbatim = np.array([bool(bare) and f" {bare} " in f" {source} " for source in bare_sources])
        support[row][verbatim] = 1.0
        if not verbatim.any():
            open_claims.append(row)
    if not open_claims:
        return support, Usage()
    embedded = encoder.embed([*(claims[row] for row in open_claims), *sources])
    vectors = embedded.vectors
    cosine = np.clip(vectors[: len(open_claims)] @ vectors[len(open_claims) :].T, 0.0, 1.0)
    for at, row in enumerate(open_claims):
        support[row] = (cosine[at] + _coverage(claims[row], sources)) / 2 * _numbers_agree(claims[row], sources)
    return support, embedded.usage


def _bare(text: str) -> str:
    return _BARE.sub(" ", fold(MARKER.sub(" ", text))).strip()


def _coverage(claim: str, sources: Sequence[str]) -> NDArray[np.float32]:
    words = terms(claim)
    shares = [len(words & terms(source)) / max(1, len(words)) for source in sources]
    return np.array(shares, np.float32)


def _numbers_agree(claim: str, sources: Sequence[str]) -> NDArray[np.float32]:
    numbers = set(_NUMBER.findall(claim))
    factors = [1.0 if numbers <= set(_NUMBER.findall(source)) else WRONG_NUMBER_FACTOR for source in sources]
    return np.array(factors, np.float32)
