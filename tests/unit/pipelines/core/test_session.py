"""What the stages of one question share."""

import copy
import time

import pytest

from pipelines.core.deadline import Deadline
from pipelines.core.session import Session, Stopwatch
from pipelines.core.types import StageReceipt, Usage


def test_the_receipt_grows_with_the_stages() -> None:
    session = Session(Deadline.after(10))
    assert session.receipt().stages == ()
    for stage, cost in (("plan", 0.5), ("cite", 0.25)):
        usage = Usage(calls=1, tokens_in=2, tokens_out=3, cost_usd=cost)
        session.record(StageReceipt(stage=stage, tier="t", model="m", usage=usage))  # type: ignore[arg-type]
    receipt = session.receipt()
    assert [stage.stage for stage in receipt.stages] == ["plan", "cite"]
    assert receipt.total == Usage(calls=2, tokens_in=4, tokens_out=6, cost_usd=0.75)
    assert 0 < receipt.total_ms < 5000


def test_an_unknown_price_makes_the_total_unknown() -> None:
    session = Session(Deadline.never())
    for cost in (0.5, None):
        session.record(StageReceipt(stage="plan", tier="t", model="m", usage=Usage(cost_usd=cost)))
    assert session.receipt().total.cost_usd is None


@pytest.mark.parametrize(
    ("limit", "costs", "left"),
    [(None, [0.5], None), (1.0, [], 1.0), (1.0, [0.25, 0.5], 0.25), (1.0, [2.0], 0.0), (9.0, [0.5, None], 0.0)],
)
def test_what_may_still_be_spent(limit: float | None, costs: list[float | None], left: float | None) -> None:
    session = Session(Deadline.never(), max_cost_usd=limit)
    for cost in costs:
        session.record(StageReceipt(stage="plan", tier="t", model="m", usage=Usage(cost_usd=cost)))
    assert session.cost_left_usd == left


def test_a_copy_is_the_same_session() -> None:
    session = Session(Deadline.never())
    assert copy.deepcopy({"session": session})["session"] is session


def test_a_stopwatch_counts_milliseconds() -> None:
    watch = Stopwatch()
    time.sleep(0.01)
    assert 9 < watch.ms < 60_000
