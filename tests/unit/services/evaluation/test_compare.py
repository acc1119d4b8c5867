import pytest

from pipelines.core.errors import InvalidRequestError
from services.evaluation.compare import compare
from tests.unit.services.evaluation.samples import result, task


def test_questions_are_paired_and_less_cost_is_a_win() -> None:
    before = result(task({"strata": [(0.0, 0.02)] * 8 + [(1.0, 0.02)] * 2}))
    after = result(task({"strata": [(1.0, 0.01)] * 6 + [(0.0, 0.02)] * 3 + [(None, 0.01)]}))
    right, cost = compare(before, after)
    assert (right.n, right.wins, right.ties, right.losses) == (9, 6, 2, 1)  # the last one has no score
    assert right.difference == pytest.approx(5 / 9)
    assert right.interval[0] < right.difference < right.interval[1]
    assert right.verdict == "better"
    assert (cost.wins, cost.ties, cost.losses) == (7, 3, 0)
    assert cost.difference == pytest.approx(-0.007)
    assert cost.verdict == "better"
    back = {each.measure.name: each for each in compare(after, before)}
    assert back["cost"].verdict == back["right"].verdict == "worse"


def test_what_differs_nowhere_is_left_out() -> None:
    same = result(task({"strata": [(1.0, 0.01), (0.0, 0.01)]}))
    assert compare(same, same) == ()


def test_results_of_other_questions_are_refused() -> None:
    one = result(task({"strata": [(1.0, 0.01)]}))
    with pytest.raises(InvalidRequestError, match="nq_gold dev and nq_gold train"):
        compare(one, result(task({"strata": [(1.0, 0.01)]}), split="train"))
    with pytest.raises(InvalidRequestError, match="share no scored question"):
        compare(one, result(task({"other": [(1.0, 0.01)]})))
