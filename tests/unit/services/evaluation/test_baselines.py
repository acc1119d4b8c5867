import math

import numpy as np
import pytest

from services.evaluation.baselines import K1, B, Bm25, reciprocal_ranks, scaled, token_overlap


def test_bm25_by_hand() -> None:
    scores = Bm25(["Fox fox hen", "hen", "Dog dog dog dog dog"]).scores("a fox, a FOX")
    idf = math.log(1 + (3 - 1 + 0.5) / (1 + 0.5))
    assert scores == pytest.approx([idf * 2 * (K1 + 1) / (2 + K1), 0, 0])  # of mean length: no correction
    short, long = Bm25(["hen", "hen hen hen"]).scores("hen")
    idf = math.log(1 + 0.5 / 2.5)
    assert short == pytest.approx(idf * (K1 + 1) / (1 + K1 * (1 - B + B / 2)))
    assert long == pytest.approx(idf * 3 * (K1 + 1) / (3 + K1 * (1 - B + B * 3 / 2)))
    assert Bm25([]).scores("fox").tolist() == []
    assert Bm25(["", ""]).scores("fox").tolist() == [0, 0]


def test_scales_and_ranks() -> None:
    assert scaled(np.array([2.0, 4.0, 3.0])).tolist() == [0, 1, 0.5]
    assert scaled(np.array([2.0, 2.0])).tolist() == [0, 0]
    assert reciprocal_ranks(np.array([0.1, 0.9, 0.1]), k=1).tolist() == [1 / 3, 1 / 2, 1 / 4]


def test_token_overlap() -> None:
    assert token_overlap("The fox, the hen.", "A hen saw the dog") == 3 / 4
    assert token_overlap("...", "A hen") == 0
