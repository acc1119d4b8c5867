"""Which sources each claim of a draft is bound to."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.core.encoders import Encoder
from pipelines.core.text import content_words, is_statement
from pipelines.core.types import EvidenceItem, Usage
from pipelines.support import WRONG_NUMBER_FACTOR, coverage, stands_in, support_scores
from pipelines.verify import Check, Reading, Verdict, Verifier

MAX_SOURCES = 3
"""Most citations of one claim."""
MIN_SUPPORT = 0.35
"""By words and cosine: support below which a claim is marked unsupported."""
RELINK_MARGIN = 0.15
"""A sentence of another passage must support a claim this much better to replace the one that the writer cited."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A sentence of a draft.

    Attributes:
        text: Without markers.
        tail: White space after it.
        numbers: Evidence numbers that the writer cited.
    """

    text: str
    tail: str
    numbers: tuple[int, ...]

    @property
    def states(self) -> bool:
        """Whether it needs support; a short one where its writer cited something for it: `Paris [1].` is an answer."""
        return is_statement(self.text) or bool(self.numbers and content_words(self.text))


@dataclass(frozen=True, slots=True)
class Source:
    """A sentence that may support a claim."""

    item: EvidenceItem
    index: int
    text: str


@dataclass(frozen=True, slots=True)
class Bound:
    """A claim's source and how far it supports the claim, 0 to 1."""

    source: Source
    support: float


def bind_by_words(
    claims: Sequence[Claim], sources: Sequence[Source], encoder: Encoder | None, min_support: float | None
) -> tuple[list[list[Bound]], Usage]:
    """The sources of each claim by words, numbers and, with an encoder, cosine; and what finding them took."""
    support, usage = support_scores([claim.text for claim in claims], [source.text for source in sources], encoder)
    least = MIN_SUPPORT if min_support is None else min_support
    return [_choose(claim, sources, row, least) for claim, row in zip(claims, support, strict=True)], usage


def bind_by_reading(
    claims: Sequence[Claim], sources: Sequence[Source], verifier: Verifier, min_support: float | None
) -> tuple[list[list[Bound]], Usage]:
    """The sources of each claim as a head reads them; what stands in a source word for word is not read."""
    texts, contexts = [source.text for source in sources], [source.item.passage.context for source in sources]
    passages = [source.item.number for source in sources]
    least = verifier.min_support if min_support is None else min_support
    support = np.zeros((len(claims), len(sources)), np.float32)
    checks: dict[int, Check] = {}
    for row, claim in enumerate(claims):
        support[row] = [stands_in(claim.text, text) for text in texts]
        if claim.states and sources and not support[row].any():
            checks[row] = Check(claim.text, texts, contexts, passages, _cited(claim, sources))
    verdicts, usage = verifier.verify(list(checks.values()))
    read = dict(zip(checks, verdicts, strict=True))
    for row, verdict in read.items():
        for reading in verdict.readings:
            if len(reading.places) == 1:
                support[row, reading.places[0]] = _worth(reading)
    bound = [_choose(claim, sources, support[row], least) for row, claim in enumerate(claims)]
    for row, verdict in read.items():
        bound[row] = bound[row] or _together(claims[row], sources, verdict, least)
    return bound, usage


def _worth(reading: Reading) -> float:
    """Its support: none where it says otherwise or nothing, less where a number differs: heads are bad at numbers."""
    if not reading.states:
        return 0.0
    return reading.support * (1.0 if reading.numbers_agree else WRONG_NUMBER_FACTOR)


def _cited(claim: Claim, sources: Sequence[Source]) -> list[int]:
    """The sentence of each cited passage that has most of the claim's words."""
    best: dict[int, int] = {}
    shared = [coverage(claim.text, source.text) for source in sources]
    for place, source in enumerate(sources):
        number = source.item.number
        if number in claim.numbers and (number not in best or shared[place] > shared[best[number]]):
            best[number] = place
    return list(best.values())[:MAX_SOURCES]


def _together(claim: Claim, sources: Sequence[Source], verdict: Verdict, least: float) -> list[Bound]:
    """Sentences that state a claim together, though none does alone: those that have some of its words of their own."""
    for reading in verdict.readings:
        if len(reading.places) > 1 and _worth(reading) >= least:
            ranked = sorted(reading.places, key=lambda place: -coverage(claim.text, sources[place].text))
            kept: list[int] = []
            for place in ranked[:MAX_SOURCES]:
                with_it = " ".join(sources[each].text for each in (*kept, place))
                if coverage(claim.text, with_it) > coverage(claim.text, " ".join(sources[each].text for each in kept)):
                    kept.append(place)
            return [Bound(sources[place], _worth(reading)) for place in kept]
    return []


def _choose(claim: Claim, sources: Sequence[Source], support: NDArray[np.float32], least: float) -> list[Bound]:
    """The sentences of the cited passages that support a claim; a better one of another passage in their place."""
    if not len(sources) or not claim.states:
        return []
    best = Bound(sources[int(support.argmax())], float(support.max()))
    chosen: list[Bound] = []
    for number in dict.fromkeys(claim.numbers):
        rows = [row for row, source in enumerate(sources) if source.item.number == number]
        if rows:
            row = max(rows, key=lambda each: float(support[each]))
            chosen.append(Bound(sources[row], float(support[row])))
    chosen = [bound for bound in chosen if bound.support >= least]
    strongest = max((bound.support for bound in chosen), default=0.0)
    if best.support >= least and best.support >= strongest + RELINK_MARGIN:
        chosen = [best]
    return chosen[:MAX_SOURCES]
