import math

import pytest

from pipelines.core.deadline import Deadline
from pipelines.core.errors import DeadlineExceededError


def test_remaining_counts_down_to_zero_and_stops() -> None:
    assert 9 < Deadline.after(10).remaining() <= 10
    assert Deadline.after(-1).remaining() == 0


def test_bounded_takes_the_shorter() -> None:
    deadline = Deadline.after(10)
    assert deadline.bounded(2) == 2
    assert 9 < deadline.bounded(60) <= 10


def test_an_expired_deadline_stops_work_and_says_which() -> None:
    deadline = Deadline.after(0)
    assert deadline.expired
    with pytest.raises(DeadlineExceededError, match="before the plan"):
        deadline.check("the plan")


def test_a_deadline_to_come_lets_work_go_on() -> None:
    deadline = Deadline.after(10)
    deadline.check("the plan")
    assert not deadline.expired


def test_never_does_not_come() -> None:
    assert Deadline.never().remaining() == math.inf
    assert not Deadline.never().expired
