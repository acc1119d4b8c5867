"""Probabilities and log odds."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.core.odds import label_log_odds, log_odds, sigmoid


@given(st.floats(-20, 20))
def test_log_odds_undo_the_sigmoid(odds: float) -> None:
    assert log_odds(sigmoid(odds)) == pytest.approx(odds, abs=1e-6)
    assert sigmoid(odds) + sigmoid(-odds) == pytest.approx(1)


def test_neither_end_overflows() -> None:
    ends = np.array([-math.inf, -1e30, -800, 0, 800, 1e30, math.inf])
    assert sigmoid(ends).tolist() == [0, 0, pytest.approx(0, abs=1e-300), 0.5, 1, 1, 1]
    assert [sigmoid(end) for end in ends.tolist()] == sigmoid(ends).tolist()


def test_a_single_precision_logit_gives_a_double_precision_probability() -> None:
    assert sigmoid(np.array([[-20.0]], np.float32)).item() == pytest.approx(2.0611536e-9)
    assert type(sigmoid(np.float32(0.0))) is float


def test_what_is_certain_has_finite_odds() -> None:
    assert log_odds(0.0) == pytest.approx(-27.63, abs=0.01)
    assert log_odds(1.0, least=0.001) == pytest.approx(math.log(999)) == -log_odds(0.0, least=0.001)


def test_odds_of_a_label_are_those_of_its_share_of_all() -> None:
    logits = np.array([[1.0, 2.0, 3.0], [500.0, 0.0, -500.0]], np.float32)
    powers = np.exp(logits[0].astype(np.float64))
    found = label_log_odds(logits)
    assert sigmoid(found[0]) == pytest.approx(powers / powers.sum())
    assert found[1] == pytest.approx([500, -500, -1000])
    assert label_log_odds(logits[:0]).shape == (0, 3)
