"""Waits that differ."""

import random

import pytest

from pipelines.core.jitter import jitter


@pytest.mark.parametrize(("low", "high"), [(0.5, 1.5), (0.8, 1.2), (0.0, 1.0)])
def test_waits_differ_and_stay_between_their_bounds(low: float, high: float) -> None:
    waits = [jitter(2.0, low, high) for _ in range(200)]
    assert all(2 * low <= wait <= 2 * high for wait in waits)
    assert max(waits) - min(waits) > (high - low)


def test_neither_a_seed_fixes_a_wait_nor_a_wait_moves_what_was_seeded() -> None:
    random.seed(7)
    first, drawn = jitter(1.0), random.random()
    random.seed(7)
    assert random.random() == drawn
    random.seed(7)
    assert jitter(1.0) != first
