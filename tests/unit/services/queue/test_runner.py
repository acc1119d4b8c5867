"""How long a stage is waited for. That it is sent again, and what then, is tested with real workers."""

import pytest

from services.queue.runner import GRACE_S, patience_s


def test_the_stage_s_own_limit_and_a_grace_is_waited_for() -> None:
    assert patience_s(8.0, 60.0) == 8.0 + GRACE_S


def test_both_tries_leave_time_for_what_follows() -> None:
    left = deadline = 10.0
    for _ in range(2):
        left -= patience_s(8.0, left)
    assert left > deadline / 6


@pytest.mark.parametrize("left_s", [0.0, 0.001, 0.5])
def test_a_question_with_no_time_left_waits_for_less_than_that(left_s: float) -> None:
    assert patience_s(8.0, left_s) <= left_s * 0.55
