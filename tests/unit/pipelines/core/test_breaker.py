"""A circuit breaker on a clock that the test turns."""

import asyncio

import pytest

from pipelines.core.breaker import FAILURES, FIRST_PAUSE_S, LONGEST_PAUSE_S, Breaker, away
from pipelines.core.errors import IndexUnavailableError


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker("index", IndexUnavailableError, clock=clock)


def opened(breaker: Breaker) -> Breaker:
    for _ in range(FAILURES):
        breaker.check()
        breaker.failed()
    return breaker


def test_it_opens_after_failures_in_a_row_only(breaker: Breaker) -> None:
    for _ in range(3 * FAILURES):
        breaker.failed()
        breaker.succeeded()
    breaker.check()
    with pytest.raises(IndexUnavailableError) as caught:
        opened(breaker).check()
    assert 0 < (caught.value.retry_after_s or 0) <= FIRST_PAUSE_S * 1.2


def test_one_probe_at_a_time_and_longer_pauses_while_it_fails(breaker: Breaker, clock: Clock) -> None:
    opened(breaker)
    pauses = []
    for _ in range(8):
        pauses.append(breaker.open_for_s)
        clock.now += breaker.open_for_s
        breaker.check()
        with pytest.raises(IndexUnavailableError):
            breaker.check()
        breaker.failed()
    assert pauses[3] > pauses[0] * 4
    assert max(pauses) <= LONGEST_PAUSE_S * 1.2
    clock.now += breaker.open_for_s
    breaker.check()
    assert breaker.open_for_s > 0  # as long as somebody probes
    breaker.succeeded()
    breaker.check()
    breaker.check()
    assert breaker.open_for_s == 0


def test_what_the_dependency_asks_for_is_believed_at_once(breaker: Breaker) -> None:
    breaker.failed(retry_after_s=77)
    assert breaker.open_for_s == 77


def test_a_probe_that_is_never_heard_of_again_does_not_close_the_way_for_good(breaker: Breaker, clock: Clock) -> None:
    opened(breaker)
    clock.now += breaker.open_for_s
    breaker.check()
    clock.now += LONGEST_PAUSE_S
    breaker.check()
    breaker.abandoned()
    breaker.check()


def test_a_process_knows_which_of_its_dependencies_are_left_alone() -> None:
    breaker = Breaker("the mast's lamp", IndexUnavailableError)
    assert away()["the mast's lamp"] is False
    opened(breaker)
    other = Breaker("the mast's lamp", IndexUnavailableError)
    assert away()["the mast's lamp"] is True
    assert other.open_for_s == 0


def test_a_call_reports_itself(breaker: Breaker, clock: Clock) -> None:
    for error, counts in ((ValueError(), False), (asyncio.CancelledError(), False), (OSError(), True)):
        for _ in range(FAILURES):
            with pytest.raises(type(error)), breaker.calling(OSError):
                raise error
        assert bool(breaker.open_for_s) is counts
    clock.now += breaker.open_for_s
    with pytest.raises(asyncio.CancelledError), breaker.calling(OSError):
        raise asyncio.CancelledError
    with breaker.calling(OSError):  # the cancelled probe gave its place back
        pass
    assert breaker.open_for_s == 0


def test_calls_that_failed_together_count_as_one_opening(breaker: Breaker, clock: Clock) -> None:
    for _ in range(20 * FAILURES):
        breaker.failed()
    clock.now += 1.3 * FIRST_PAUSE_S
    breaker.check()
