"""Whether evidence answers."""

import math

import pytest

from pipelines.core.types import EvidenceItem
from pipelines.sufficiency import (
    MAX_EVIDENCE_CHARS,
    Features,
    Read,
    best_passage_coverage,
    estimate_sufficiency,
    feature_row,
    sufficiency_pair,
    weighed,
)
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


def test_evidence_is_read_best_passage_first_with_its_titles_and_within_bounds() -> None:
    long = passage(*["Bridges are long and wide."] * 200)
    first = passage("The viaduct was opened in 2004.", "It is high.")
    items = [
        EvidenceItem(number=1, passage=long, score=0.2, kept=(0, 1)),
        EvidenceItem(number=2, passage=first, score=0.9, kept=(0,)),
    ]
    pair = sufficiency_pair("When was it opened?", items)
    assert pair.second.startswith(f"{first.context}: The viaduct was opened in 2004.")
    assert "It is high" not in pair.second
    every = EvidenceItem(number=1, passage=long, score=0.2, kept=tuple(range(len(long.sentences))))
    assert len(sufficiency_pair("?", [every]).second) == MAX_EVIDENCE_CHARS


def test_the_calibration_weighs_the_head_with_what_is_known_besides() -> None:
    row = feature_row(2.0, Read(passage=0.5, sentence=1.0), Features(0.6, 0.8))
    assert row == pytest.approx((2.0, 0.0, math.log(999), 0.6, 0.8))
    assert weighed(row, {}) == pytest.approx(1 / (1 + math.exp(-2)))
    assert weighed(row, {"cosine": 10.0, "bias": -6.0}) == pytest.approx(0.5)
    assert (weighed(row, {"head": -1e9}), weighed(row, {"head": 1e9})) == (0, 1)
