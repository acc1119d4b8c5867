"""What sources say of claims, read by the head `support`: they state it, say otherwise, or neither."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pipelines.claims import CLAIM_FEATURES, claim_features
from pipelines.core.encoders import Encoder, Head, Pair
from pipelines.core.odds import label_log_odds, sigmoid
from pipelines.core.types import Usage
from pipelines.support import coverage, numbers_agree

NEAREST = 10
"""Sentences with most of a claim's words: of long sources the others are not looked at."""
READ = 2
"""Sentences that are read with a claim, each alone: those that are nearest to it in words and meaning."""
JOINED = 4
"""Nearest sentences that are read together: a claim of several facts may stand in several."""
JOINED_WORDS = 90
"""Most words of sentences that are read together: with a claim they fit the head's window."""

FAR = -2.0
"""The cosine of what is not looked at: below any other."""

READING_FEATURES = ("supports", "denied")
"""The head's log odds that a text states the claim; the highest that any text read says otherwise."""
FEATURES = (*READING_FEATURES, *CLAIM_FEATURES)
"""What the calibration weighs: what was read, and of the claim what can be told without."""

Row = NDArray[np.float32]
Odds = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Check:
    """A claim and the sentences that may support it.

    Attributes:
        contexts: Title and section of each source; without them none has any.
        texts: Which text each source is of, by any number; without them all are of one.
        read: Places of sources that are read whatever the others are: the ones that a writer cited.
    """

    claim: str
    sources: Sequence[str]
    contexts: Sequence[str] = ()
    texts: Sequence[int] = ()
    read: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class Reading:
    """One text that a claim is read with, and what comes of it.

    Attributes:
        places: The sources that it is made of, in order.
        features: As `FEATURES` names them.
        support: Estimated probability that it states the claim.
        contradicts: Probability that it says otherwise.
        states: Whether the head alone finds that it states the claim: only then is it cited, however alike they are.
        numbers_agree: Whether it has all numbers of the claim.
    """

    places: tuple[int, ...]
    features: Row
    support: float
    contradicts: float
    states: bool
    numbers_agree: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was read for one claim, likeliest support first; nothing where there is no source."""

    readings: tuple[Reading, ...] = field(default=())

    @property
    def support(self) -> float:
        """Estimated probability that the sources state the claim."""
        return self.readings[0].support if self.readings else 0.0


class Verifier:
    """Reads claims with their likeliest sources, all in one batch.

    Attributes:
        min_support: The support from which a claim counts as supported, as calibrated.
    """

    def __init__(self, head: Head, encoder: Encoder) -> None:
        self._head, self._encoder = head, encoder
        calibration = head.spec.calibration
        self._bias = calibration.get("bias", 0.0)
        self._states_from = calibration.get("states", 0.0)
        self.min_support = calibration.get("min_support", 0.5)
        self._weights = np.array([calibration.get(name, float(name == "supports")) for name in FEATURES], np.float32)

    @property
    def name(self) -> str:
        """How receipts name it."""
        return self._head.name

    def verify(self, checks: Sequence[Check]) -> tuple[list[Verdict], Usage]:
        """What the sources of each claim say of it, and what reading them took."""
        cosines, usage = cosines_of(checks, self._encoder)
        chosen = [_places(check, row) for check, row in zip(checks, cosines, strict=True)]
        pairs = [_pair(check, places) for check, each in zip(checks, chosen, strict=True) for places in each]
        if not pairs:
            return [Verdict() for _ in checks], usage
        scores = self._head.score(pairs)
        odds = label_log_odds(scores.pairs)
        ends = np.cumsum([len(each) for each in chosen])[:-1]
        verdicts = [
            self._verdict(check, each, row, said) if each else Verdict()
            for check, each, row, said in zip(checks, chosen, cosines, np.split(odds, ends), strict=True)
        ]
        return verdicts, usage + scores.usage

    def _verdict(self, check: Check, chosen: Sequence[tuple[int, ...]], cosines: Row, odds: Odds) -> Verdict:
        of_claim = claim_features(check.claim, check.sources, check.contexts, cosines, check.texts)
        denied = odds[:, 1].max()
        readings = []
        for places, (supports, contradicts, _) in zip(chosen, odds, strict=True):
            features = np.array([supports, denied, *of_claim], np.float32)
            support = sigmoid(float(self._weights @ features) + self._bias)
            stated = bool(supports >= self._states_from)
            agree = numbers_agree(check.claim, _text(check, places))
            readings.append(Reading(places, features, support, sigmoid(contradicts), stated, agree))
        return Verdict(tuple(sorted(readings, key=lambda reading: -reading.support)))


def cosines_of(checks: Sequence[Check], encoder: Encoder) -> tuple[list[Row], Usage]:
    """Of each claim with each of its sources, `FAR` for one that is not near; each text is embedded once."""
    near = [_near(check) for check in checks]
    texts = [
        text
        for check, places in zip(checks, near, strict=True)
        if places
        for text in (check.claim, *(check.sources[place] for place in places))
    ]
    known = list(dict.fromkeys(texts))
    embedded = encoder.embed(known)
    vectors = dict(zip(known, embedded.vectors, strict=True))
    cosines = []
    for check, places in zip(checks, near, strict=True):
        row = np.full(len(check.sources), FAR, np.float32)
        for place in places:
            row[place] = vectors[check.claim] @ vectors[check.sources[place]]
        cosines.append(row)
    return cosines, embedded.usage


def _near(check: Check) -> list[int]:
    """Places of the sources that are looked at: those with most of the claim's words, and what is read anyway."""
    shared = [coverage(check.claim, source) for source in check.sources]
    order = sorted(range(len(shared)), key=lambda place: -shared[place])[:NEAREST]
    return sorted({*order, *check.read})


def _places(check: Check, cosines: Row) -> list[tuple[int, ...]]:
    """The sources that are read with a claim: some alone, and the best ones joined."""
    shared = np.array([coverage(check.claim, source) for source in check.sources], np.float32)
    order = [int(place) for place in np.argsort(-(shared + cosines), kind="stable") if cosines[place] > FAR]
    alone = list(dict.fromkeys([*order[:READ], *check.read]))
    joined: list[int] = []
    words = 0
    for place in order[:JOINED]:
        words += len(check.sources[place].split())
        if joined and words > JOINED_WORDS:
            break
        joined.append(place)
    found: list[tuple[int, ...]] = [(place,) for place in alone]
    return [*found, tuple(sorted(joined))] if len(joined) > 1 else found


def _pair(check: Check, places: tuple[int, ...]) -> Pair:
    context = check.contexts[places[0]] if check.contexts else ""
    return Pair(check.claim, _text(check, places), context)


def _text(check: Check, places: tuple[int, ...]) -> str:
    return " ".join(check.sources[place] for place in places)
