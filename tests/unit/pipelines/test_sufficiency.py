"""Whether evidence answers."""

import pytest

from pipelines.sufficiency import Features, best_passage_coverage, estimate_sufficiency
from tests.support.evidence import hits, passage


def test_it_is_a_probability_that_grows_with_both_features() -> None:
    grid = [estimate_sufficiency(Features(cosine, share)) for cosine in (-1.0, 0.0, 0.5, 1.0) for share in (0.0, 1.0)]
    assert all(0.0 < each < 1.0 for each in grid)
    assert grid == sorted(grid)
    assert grid[0] < 0.01
    assert grid[-1] > 0.99


def test_coverage_is_the_best_passages_share_of_the_asked_terms() -> None:
    found = hits(passage("Bridges are long."), passage("The Millau viaduct is a bridge in France."))
    assert best_passage_coverage("millau viaduct", found, 2) == pytest.approx(1.0)
    assert best_passage_coverage("millau viaduct", found, 1) == 0.0
    assert 0.0 < best_passage_coverage("millau tunnel", found, 2) < 1.0


def test_nothing_covers_nothing() -> None:
    assert best_passage_coverage("anything", (), 8) == 0.0
    assert best_passage_coverage("", hits(passage("text")), 8) == 0.0
    assert best_passage_coverage("of the and", hits(passage("text")), 8) == 0.0
