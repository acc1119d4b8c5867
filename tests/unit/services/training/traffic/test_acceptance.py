"""Judging a candidate beside the live head, and the split that keeps questions apart."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from pipelines.core.blobs import FolderBlobs
from pipelines.core.encoders import Pair
from pipelines.core.encoders.cache import ModelCache
from pipelines.core.encoders.spec import HeadSpec
from pipelines.core.errors import InvalidRequestError
from pipelines.core.settings import EncoderSettings
from pipelines.core.state import Database, HeadVersions, sqlite_url
from services.heads.versions import HeadStore
from services.training.examples import Example
from services.training.network.loop import TrainOptions
from services.training.traffic.acceptance import MIN_QUESTIONS, Score, Scored, judge, values
from services.training.traffic.improve import Improving, split

EVIDENCE = HeadSpec(
    name="evidence", version="1", backbone="b", pair_labels=("helps",), span_labels=("helps",), max_tokens=256
)
SUFFICIENCY = HeadSpec(name="sufficiency", version="1", backbone="b", pair_labels=("sufficient",), max_tokens=256)
SUPPORT = HeadSpec(
    name="support", version="1", backbone="b", pair_labels=("supports", "contradicts", "neither"), max_tokens=256
)


def question(number: int) -> list[Example]:
    """A good passage, then a bad one; the good one's second sentence is the good one."""
    spans, group = ((0, 1), (1, 2)), f"q{number}"
    good = Example(first="q", second="gg", spans=spans, label=1, span_labels=(0, 1), group=group, source="t")
    bad = Example(first="q", second="bb", spans=spans, label=0, span_labels=(0, 0), group=group, source="t")
    return [good, bad]


def scorer(good: float, bad: float) -> Score:
    """Gives good texts one logit and bad ones another; the second sentence of a good one is the good one."""

    def score(pairs: Sequence[Pair]) -> Scored:
        told = [good if pair.second[0] == "g" else bad for pair in pairs]
        spans = [np.array([[bad], [value]], np.float32) for value in told]
        return np.array([[value] for value in told], np.float32), spans

    return score


RIGHT, WRONG = scorer(2.0, -2.0), scorer(-2.0, 2.0)


def test_a_better_candidate_is_accepted_and_a_worse_or_equal_one_is_not() -> None:
    examples = [each for number in range(MIN_QUESTIONS) for each in question(number)]
    better = judge(EVIDENCE, examples, WRONG, RIGHT)
    assert better.accepted
    assert (better.questions, better.candidate, better.paired.wins) == (MIN_QUESTIONS, 1.0, MIN_QUESTIONS)
    assert better.live == pytest.approx((1 / 2 + 1 / 4) / 2), "the good passage second, the good sentence last"
    assert not judge(EVIDENCE, examples, RIGHT, RIGHT).accepted
    assert not judge(EVIDENCE, examples, RIGHT, WRONG).accepted


def test_a_handful_of_questions_accepts_nothing() -> None:
    examples = [each for number in range(MIN_QUESTIONS - 1) for each in question(number)]
    verdict = judge(EVIDENCE, examples, WRONG, RIGHT)
    assert verdict.paired.interval[0] > 0
    assert not verdict.accepted
    assert not judge(EVIDENCE, [], WRONG, RIGHT).accepted


def test_a_question_with_nothing_to_rank_has_no_part_in_ranking() -> None:
    bad = question(0)[1:]
    assert values(EVIDENCE, bad, RIGHT) == {}


def test_yes_and_no_are_judged_by_their_probability() -> None:
    yes = [Example(first="q", second="g", label=1, group="a", source="t")]
    assert values(SUFFICIENCY, yes, scorer(0.0, 0.0))["a"] == pytest.approx(0.75)
    assert values(SUFFICIENCY, yes, scorer(20.0, 0.0))["a"] == pytest.approx(1.0)
    assert values(SUFFICIENCY, yes, scorer(-20.0, 0.0))["a"] == pytest.approx(0.0, abs=1e-6)

    def three(pairs: Sequence[Pair]) -> Scored:
        return np.array([[50.0, 0.0, 0.0]] * len(pairs), np.float32), [np.zeros((0, 0), np.float32)] * len(pairs)

    claims = [Example(first="c", second="s", label=label, group=str(label), source="t") for label in (0, 2)]
    assert values(SUPPORT, claims, three) == {"0": pytest.approx(1.0), "2": pytest.approx(0.0)}


def test_no_question_is_on_two_sides_and_the_sides_do_not_change() -> None:
    examples = [each for number in range(200) for each in question(number)]
    sides = split(examples)
    groups = [{each.group for each in side} for side in (sides.fit, sides.chosen_on, sides.held_out)]
    assert sum(map(len, groups)) == len(set.union(*groups)) == 200
    assert 40 <= len(groups[2]) <= 80
    more = split([*examples, *question(1000)])
    assert groups[2] <= {each.group for each in more.held_out}
    with pytest.raises(InvalidRequestError, match="too few"):
        split(question(0))


def test_examples_of_another_head_are_refused_before_anything_is_trained(tmp_path: Path) -> None:
    database = Database(sqlite_url(tmp_path / "state.sqlite"))
    versions = HeadVersions(database)
    store = HeadStore(versions, FolderBlobs(tmp_path / "blobs"), ModelCache(tmp_path / "cache"))
    examples = [Example(first="a", second="b", label=2.0, group=f"q{number}", source="t") for number in range(50)]
    with pytest.raises(InvalidRequestError, match="evidence has none such"):
        Improving(EncoderSettings(), versions, store).run("evidence", examples, TrainOptions())
    database.close()
