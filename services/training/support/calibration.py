"""What the head's reading is worth beside words and cosine: fitted on claims held out of training."""

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipelines.core.odds import sigmoid
from pipelines.verify import FEATURES, READING_FEATURES, Check, Verdict
from services.evaluation.corruption import list_names
from services.evaluation.data.rows import GroundingRow, read
from services.evaluation.data.split import claim_group, is_held_out
from services.evaluation.metrics.balanced_accuracy import balanced_accuracy, best_threshold
from services.training.logistic import fit_logistic
from services.training.support.made import corrupt, sentences_of, telling
from services.training.support.real import TokensRow, bare_claim, page_texts, supported_part
from services.training.support.rephrase import rephrase, tidy

MADE = "made"
FACTS = 3
"""Most facts of a made claim."""
CHANGED = 0.4
"""Share of false claims that say otherwise; the others say what stands elsewhere."""
LOST = 2.0
"""How many false claims that pass a supported claim that is lost weighs: an answer without its citations is worth less
than one with a citation too many."""
ROUNDS = 5
"""Rounds of choosing each claim's likeliest reading and fitting to it; more change nothing."""

Linear = tuple[NDArray[np.float64], float]
"""Weights and bias."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A claim with its sources, and whether they support it."""

    set: str
    check: Check
    supported: bool


def held_out_claims(data: Path, share: float, seed: int) -> Iterator[Judged]:
    """Claims that the head was not trained on, with all that they cite, and some that were made."""
    yield from (claim for group, claim in real_claims(data) if is_held_out(group, share))
    yield from _made(data, share, seed)


def trained_claims(data: Path, share: float) -> Iterator[Judged]:
    """The other claims of people: words and cosines tell of them what they tell of any."""
    yield from (claim for group, claim in real_claims(data) if not is_held_out(group, share))


def real_claims(data: Path) -> Iterator[tuple[str, Judged]]:
    """Claims of the training parts by group, with all that they cite."""
    for row in read(data / "fm2" / "train" / "grounding.jsonl.gz", GroundingRow):
        check = Check(row.claim_or_response, row.gold_evidence, (row.page,) * len(row.gold_evidence))
        yield claim_group("fm2", row), Judged("fm2", check, row.label == "SUPPORTS")
    for row in read(data / "expertqa" / "train" / "grounding.jsonl.gz", GroundingRow):
        sources = tuple(sentences_of(" ".join(each.text for each in row.context)))
        check = Check(bare_claim(row.claim_or_response), sources)
        yield claim_group("expertqa", row), Judged("expertqa", check, bool(row.supported))
    for page in read(data / "wice" / "train" / "unsupported_tokens.jsonl.gz", TokensRow):
        group = f"wice:{page.id.rsplit('-', 1)[0]}"
        sources = tuple(tidy(each) for each in page.context_sentences)
        yield group, Judged("wice", Check(page.claim_or_response, sources), False)
        kept = supported_part(page.claim_or_response, page.tokens, page.unsupported)
        if kept:
            yield group, Judged("wice", Check(kept, sources), True)


def _made(data: Path, share: float, seed: int) -> Iterator[Judged]:
    """Claims made from the pages that wice cites: of one to three sentences, and the same with one of another page."""
    pages = [
        (text, facts)
        for text in page_texts(data)
        if text.group.startswith("wice:") and is_held_out(text.group, share) and len(facts := telling(text)) >= FACTS
    ]
    for number, (text, facts) in enumerate(pages):
        chance = random.Random(f"{seed}:{text.group}")  # noqa: S311  # no secret
        foreign = pages[number - 1][1]
        for count in range(1, FACTS + 1):
            own = [rephrase(each, "", chance, 2) for each in chance.sample(facts, count)]
            yield Judged(MADE, Check(_one_claim(own), text.sentences), True)
            false = corrupt(own[-1], list_names(facts), chance) if chance.random() < CHANGED else None
            own[-1] = false or rephrase(chance.choice(foreign), "", chance, 2)
            yield Judged(MADE, Check(_one_claim(chance.sample(own, count)), text.sentences), False)


def _one_claim(facts: Sequence[str]) -> str:
    return f"{', and '.join(fact.rstrip('.') for fact in facts)}."


def calibrate_claims(claims: Sequence[Judged], features: Sequence[NDArray[np.float32]]) -> Linear:
    """Weights of `CLAIM_FEATURES`, which no head has a part in: fitted on many more claims than were held out."""
    positive = np.array([claim.supported for claim in claims])
    return fit_logistic(np.array(features, np.float64), positive, counts=_counts(claims))


def calibrate(claims: Sequence[Judged], verdicts: Sequence[Verdict], of_claims: Linear) -> dict[str, float]:
    """Weights of `FEATURES`, bias and thresholds, so that a claim's likeliest reading tells whether it is supported.

    A claim is as supported as its likeliest reading is; which one that is depends on the weights, so both are found by
    turns. All sets count the same. `states` is the log odds of the head alone below which nothing is cited, from made
    claims.

    Args:
        of_claims: As `calibrate_claims` found them; they are weighed as one.
    """
    kept = [(claim, verdict) for claim, verdict in zip(claims, verdicts, strict=True) if verdict.readings]
    features = [_with_one_of_claim(verdict, of_claims) for _, verdict in kept]
    positive = np.array([claim.supported for claim, _ in kept])
    weights, bias = np.eye(len(READING_FEATURES) + 1)[READING_FEATURES.index("supports")], 0.0
    counts = _counts([claim for claim, _ in kept])
    for _ in range(ROUNDS):
        chosen = np.array([rows[int(np.argmax(rows @ weights))] for rows in features])
        weights, bias = fit_logistic(chosen, positive, counts=counts)
    support = sigmoid(np.array([(rows @ weights).max() for rows in features]) + bias)
    every = (*weights[:-1], *(weights[-1] * of_claims[0]))
    found = {name: round(float(weight), 4) for name, weight in zip(FEATURES, every, strict=True)}
    found["bias"] = round(bias + float(weights[-1]) * of_claims[1], 4)
    found["min_support"] = round(_threshold(kept, support, positive), 4)
    made = np.array([claim.set == MADE for claim, _ in kept])
    odds = np.array([rows[:, READING_FEATURES.index("supports")].max() for rows in features])
    return {**found, "states": round(_sparing_threshold(odds[made], positive[made]), 4)}


def _with_one_of_claim(verdict: Verdict, of_claims: Linear) -> NDArray[np.float64]:
    """Features of each reading, and one number for those of the claim: `(readings, n + 1)`."""
    rows = np.array([reading.features for reading in verdict.readings], np.float64)
    own, of_claim = np.split(rows, [len(READING_FEATURES)], axis=1)
    return np.column_stack([own, of_claim @ of_claims[0] + of_claims[1]])


def _counts(claims: Sequence[Judged]) -> NDArray[np.float64]:
    """What each claim counts: all sets the same, and in each the supported claims as much as the others."""
    sizes = Counter((claim.set, claim.supported) for claim in claims)
    return np.array([len(claims) / (len(sizes) * sizes[claim.set, claim.supported]) for claim in claims])


def _threshold(
    kept: Sequence[tuple[Judged, Verdict]], support: NDArray[np.float64], positive: NDArray[np.bool_]
) -> float:
    """The threshold with the highest mean over sets of balanced accuracy."""
    sets = sorted({claim.set for claim, _ in kept})
    places = [np.array([claim.set == name for claim, _ in kept]) for name in sets]
    own = [best_threshold(support[at], positive[at]) for at in places]
    candidates = np.linspace(min(own), max(own), 101)
    means = [np.mean([balanced_accuracy(support[at] >= cut, positive[at]) for at in places]) for cut in candidates]
    return float(candidates[int(np.argmax(means))])


def _sparing_threshold(odds: NDArray[np.float64], positive: NDArray[np.bool_]) -> float:
    """The threshold with the most false claims below it, a supported one below it counted against them `LOST` times."""
    cuts = np.sort(odds)
    gains = [(odds[~positive] < cut).mean() - LOST * (odds[positive] < cut).mean() for cut in cuts]
    return float(cuts[int(np.argmax(gains))]) if len(cuts) else 0.0
