"""Weights that tell answerable cases from others, every source the same."""

from pathlib import Path

import numpy as np
import pytest

from pipelines.core.encoders import Pair
from pipelines.core.encoders.registry import open_head
from pipelines.core.encoders.spec import HeadSpec
from pipelines.core.odds import sigmoid
from pipelines.core.settings import EncoderSettings, PruneSettings
from services.training.sufficiency.calibration import WRONG_ABSTENTION, OneHead, Remembering, fit, report
from services.training.sufficiency.cases import Case
from tests.support.tiny_head import make_head


def cases(source: str, count: int, seed: int, shift: float = 0.0) -> tuple[list[Case], list[tuple[float, ...]]]:
    """Whose one feature tells something, and is lower in some sources."""
    random = np.random.default_rng(seed)
    made = [Case(f"{source} {at // 2}", (), at % 2 == 0, source) for at in range(2 * count)]
    return made, [(1.0, 2.0 * each.answerable + shift + float(random.normal())) for each in made]


def test_a_share_of_the_answerable_cases_is_abstained_from_however_many_a_source_has() -> None:
    many, rows = cases("many", 400, 1)
    few, more = cases("few", 40, 2, shift=-1.0)
    fitted = fit(np.array([*rows, *more]), [*many, *few])
    assert fitted.weights[1] > 0
    figures = report(np.array([*rows, *more]) @ fitted.weights, [*many, *few])
    assert figures["mean"]["wrongly abstained"] == pytest.approx(WRONG_ABSTENTION, abs=0.02)
    assert figures["few"]["wrongly abstained"] > figures["many"]["wrongly abstained"]
    assert figures["many"]["questions"] == 400
    held_out = report(fitted.scores, [*many, *few])
    assert held_out["many"]["AUROC"] == pytest.approx(0.92, abs=0.03)
    assert sigmoid(fitted.weights @ np.array([1.0, 9.0])) > PruneSettings().min_sufficiency


def test_what_was_read_before_is_said_again(tmp_path: Path) -> None:
    folder = make_head(tmp_path)
    head = open_head(folder, HeadSpec.read(folder), EncoderSettings(engine="torch"))
    remembering = Remembering(head)
    pairs = [Pair("When?", f"In {year}. Or so.", spans=((0, 8),)) for year in (2003, 2004, 2005)]
    remembering.score(pairs[:2])
    again, fresh = remembering.score(pairs[::-1]), head.score(pairs[::-1])
    assert again.pairs == pytest.approx(fresh.pairs, abs=1e-5)
    assert again.spans[2] == pytest.approx(fresh.spans[2], abs=1e-5)
    heads = OneHead(remembering)
    assert (heads.get("evidence"), heads.get("sufficiency")) == (remembering, None)
