"""Logistic regression."""

import numpy as np
import pytest

from services.training.logistic import fit_logistic


def test_the_weights_that_made_the_labels_are_found() -> None:
    chance = np.random.default_rng(5)
    features = chance.normal(size=(4000, 2)) * [1.0, 10.0] + [0.0, 5.0]
    odds = features @ [2.0, -0.1] + 1.0
    positive = chance.random(4000) < 1 / (1 + np.exp(-odds))
    weights, bias = fit_logistic(features, positive)
    assert weights == pytest.approx([2.0, -0.1], abs=0.2)
    assert bias == pytest.approx(1.0, abs=0.2)


def test_a_row_that_counts_twice_is_two_rows() -> None:
    features, positive = np.array([[0.0], [1.0], [2.0], [0.5], [1.5]]), np.array([False, True, True, True, False])
    twice = fit_logistic(features[[0, *range(5)]], positive[[0, *range(5)]], ridge=0)
    counted = fit_logistic(features, positive, counts=np.array([2.0, 1, 1, 1, 1]), ridge=0)
    assert counted[0] == pytest.approx(twice[0], rel=1e-3)
    assert counted[1] == pytest.approx(twice[1], rel=1e-3)
    assert counted[1] < fit_logistic(features, positive, ridge=0)[1]


def test_what_cannot_be_told_apart_has_an_end() -> None:
    weights, bias = fit_logistic(np.ones((4, 2)), np.array([True, True, False, False]))
    assert (list(weights), bias) == ([0.0, 0.0], pytest.approx(0.0))
    weights, bias = fit_logistic(np.array([[0.0], [1.0]]), np.array([False, True]))
    assert np.isfinite([*weights, bias]).all()
    assert weights[0] > 0
    only = fit_logistic(np.array([[0.0], [1.0]]), np.array([True, True]))
    assert np.isfinite([*only[0], only[1]]).all()
