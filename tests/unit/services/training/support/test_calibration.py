"""How the weights of a claim's features and of its readings become one."""

import numpy as np
import pytest

from pipelines.claims import CLAIM_FEATURES
from pipelines.core.odds import sigmoid
from pipelines.verify import FEATURES, READING_FEATURES, Check, Reading, Verdict
from services.training.support.calibration import MADE, Judged, calibrate, calibrate_claims


def features(**given: float) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    return np.array([given.get(name, 0.0) for name in FEATURES], np.float32)


def claims(count: int, seed: int) -> tuple[list[Judged], list[Verdict]]:
    """Claims that are supported where one of two readings says so, or where the sources are near."""
    chance = np.random.default_rng(seed)
    judged, verdicts = [], []
    for number in range(count):
        near, odds = float(chance.random()), chance.normal(size=2) * 3
        supported = bool(odds.max() / 3 + 4 * (near - 0.5) + chance.normal() / 2 > 1)
        rows = [features(supports=float(each), near=near) for each in odds]
        readings = [Reading((at,), row, 0.5, 0.5, True, True) for at, row in enumerate(rows)]
        judged.append(Judged((MADE, "fm2")[number % 2], Check("A claim.", ("A source.",) * 2), supported))
        verdicts.append(Verdict(tuple(readings)))
    return judged, verdicts


def test_weights_tell_which_claims_are_supported_by_their_likeliest_reading() -> None:
    trained, read = claims(600, seed=1)
    of_claims = calibrate_claims(trained, [verdict.readings[0].features[len(READING_FEATURES) :] for verdict in read])
    assert of_claims[0][CLAIM_FEATURES.index("near")] > 1
    judged, verdicts = claims(600, seed=2)
    found = calibrate(judged, verdicts, of_claims)
    assert set(found) == {*FEATURES, "bias", "min_support", "states"}
    weights = np.array([found[name] for name in FEATURES])
    said = [max(sigmoid(float(weights @ each.features) + found["bias"]) for each in read.readings) for read in verdicts]
    right = np.mean(
        [(support >= found["min_support"]) == claim.supported for support, claim in zip(said, judged, strict=True)]
    )
    assert right > 0.85
    assert found["supports"] > 0 < found["near"]


def test_claims_without_a_source_are_left_out() -> None:
    judged, verdicts = claims(40, seed=3)
    of_claims = (np.zeros(len(CLAIM_FEATURES)), 0.0)
    without = Judged("fm2", Check("A claim.", ()), True)
    assert calibrate([*judged, without], [*verdicts, Verdict()], of_claims) == pytest.approx(
        calibrate(judged, verdicts, of_claims)
    )
