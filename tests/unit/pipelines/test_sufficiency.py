"""Whether evidence answers."""

import math
from pathlib import Path

import numpy as np
import pytest

from pipelines.core.encoders.registry import open_head
from pipelines.core.encoders.spec import ADAPTERS, HeadSpec
from pipelines.core.settings import EncoderSettings
from pipelines.core.types import EvidenceItem, Usage
from pipelines.reading import Logits, Reading
from pipelines.sufficiency import (
    JUDGED_FEATURES,
    MAX_EVIDENCE_CHARS,
    PART,
    READ_FEATURES,
    Features,
    Read,
    best_passage_coverage,
    estimate_sufficiency,
    judge_sufficiency,
    read_row,
    read_sufficiency,
    sufficiency_pair,
)
from tests.support.evidence import hits, passage
from tests.support.tiny_head import make_head


def test_it_is_a_probability_that_grows_with_both_features() -> None:
    grid = [estimate_sufficiency(Features(cosine, share)) for cosine in (-1.0, 0.0, 0.5, 1.0) for share in (0.0, 1.0)]
    assert all(0.0 < each < 1.0 for each in grid)
    assert grid == sorted(grid)
    assert grid[0] < 0.01
    assert grid[-1] > 0.9


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


LOGITS = Logits(np.array([1.0, 3.0, 2.0], np.float32), (np.array([0.5], np.float32), np.zeros(0, np.float32)))
READING = Reading((0.2, 0.7, 0.6), ((0.5,), (), ()), LOGITS, Usage())


def test_of_a_reading_the_best_counts() -> None:
    read = Read.of(READING, {})
    assert (read.passage, read.helps) == (3.0, 0.5)
    assert read_row(read, Features(0.6, 0.8, 5)) == pytest.approx((1.0, 3.0, 0.0, 0.6, 0.8 * math.log(6)))
    wordless = Reading((0.2,), ((),), Logits(np.array([1.0], np.float32), (np.zeros(0, np.float32),)), Usage())
    assert Read.of(wordless, {}).helps == 0.0


def test_what_a_reading_says_weighs_as_the_calibration_has_it() -> None:
    calibration = {"sufficient.bias": -6.0, "sufficient.cosine": 10.0, "keep": 9.0}
    assert read_sufficiency(Read.of(READING, calibration), Features(0.6, 0.0)) == pytest.approx(0.5)
    for weight, probability in ((-1e9, 0.0), (1e9, 1.0)):
        said = Read.of(READING, {"sufficient.bias": 0.0, "sufficient.passage": weight})
        assert read_sufficiency(said, Features(0.6, 0.8)) == probability


def test_a_head_whose_calibration_says_nothing_leaves_it_to_words_and_vectors() -> None:
    features = Features(0.6, 0.8)
    assert read_sufficiency(Read.of(READING, {"keep": 0.1}), features) == estimate_sufficiency(features)


def test_the_shipped_head_evidence_says_something() -> None:
    calibration = HeadSpec.read(ADAPTERS / "evidence").calibration
    assert {f"{PART}.{name}" for name in READ_FEATURES} <= calibration.keys()
    assert set(HeadSpec.read(ADAPTERS / "sufficiency").calibration) == set(JUDGED_FEATURES)


def test_the_head_judges_each_form_and_the_likeliest_counts(tmp_path: Path) -> None:
    folder = make_head(tmp_path, "sufficiency", span_labels=())
    head = open_head(folder, HeadSpec.read(folder), EncoderSettings(engine="torch"))
    items = [EvidenceItem(number=1, passage=passage("It was opened in 2004."), score=0.2, kept=(0,))]
    own, usage = judge_sufficiency(head, ["When?"], [0.5], items)
    [logit] = head.score([sufficiency_pair("When?", items)]).pairs[:, 0].tolist()
    assert own == pytest.approx(1 / (1 + math.exp(-logit)))
    assert usage.calls == 1
    head.spec = head.spec.model_copy(update={"calibration": {"estimate": 1.0}})
    judged, _ = judge_sufficiency(head, ["When?", "Why?"], [0.3, 0.8], items)
    assert judged == pytest.approx(0.8)
