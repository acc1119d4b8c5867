import logging
import threading
import time

import pytest

from pipelines.core.errors import IndexMismatchError, IndexUnavailableError
from services.work import Work
from services.worker.turns import LONGEST_PAUSE_S, LOOK_AGAIN_S, Turns

POLL_S = 5.0


def turns(*outcomes: bool | Exception, poll_s: float = POLL_S) -> Turns:
    """Turns whose work does what it is given, in order; then nothing waits."""
    left = list(outcomes)

    def work(_: threading.Event) -> bool:
        outcome = left.pop(0) if left else False
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    return Turns("ingest", work, poll_s=poll_s)


def test_pauses_grow_while_it_fails_and_end_when_it_works() -> None:
    taken = turns(*[IndexUnavailableError("away")] * 8)
    pauses = [taken.turn() for _ in range(8)]
    assert pauses == [2, 4, 8, 16, 32, LONGEST_PAUSE_S, LONGEST_PAUSE_S, LONGEST_PAUSE_S]
    assert taken.failing
    assert taken.turn() == POLL_S
    assert not taken.failing


def test_what_will_not_pass_is_tried_seldom() -> None:
    assert turns(IndexMismatchError("other encoder")).turn() == LONGEST_PAUSE_S


def test_it_looks_again_soon_while_something_waits_for_a_later_time() -> None:
    assert turns(True).turn() == LOOK_AGAIN_S
    assert turns(True, poll_s=1.0).turn() == 1.0


def test_a_stopping_worker_does_not_complain_of_what_was_closed_under_it(caplog: pytest.LogCaptureFixture) -> None:
    taken = turns(IndexUnavailableError("closed"))
    taken.stop.set()
    assert taken.turn() == 0
    assert not caplog.records


def test_the_log_keeps_foreign_messages_out(caplog: pytest.LogCaptureFixture) -> None:
    secret = "text of a document"
    with caplog.at_level(logging.ERROR):
        assert turns(ValueError(secret)).turn() == 2
    assert "ValueError" in caplog.text
    assert secret not in caplog.text


class Counted:
    """Work that can be held up, and counts its turns and how many ran at a time."""

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.go_on = threading.Semaphore(0)
        self.count = 0
        self.at_a_time = 0
        self.most_at_a_time = 0

    def __call__(self, stop: threading.Event) -> bool:
        self.at_a_time += 1
        self.most_at_a_time = max(self.most_at_a_time, self.at_a_time)
        self.count += 1
        self.begun.release()
        self.go_on.acquire()
        self.at_a_time -= 1
        return False


def started(work: Work, poll_s: float = 60.0) -> Turns:
    taken = Turns("ingest", work, poll_s=poll_s)
    taken.start()
    return taken


def ended(taken: Turns, work: Counted) -> bool:
    taken.end()
    work.go_on.release(100)
    return taken.join(5)


def test_calls_during_a_turn_bring_exactly_one_more() -> None:
    work = Counted()
    taken = started(work)
    assert work.begun.acquire(timeout=5)  # the first look, unasked
    for _ in range(10):
        taken.wake()
    work.go_on.release()
    assert work.begun.acquire(timeout=5)
    work.go_on.release()
    assert not work.begun.acquire(timeout=0.2)
    assert work.most_at_a_time == 1
    assert ended(taken, work)


def test_one_caller_waits_for_the_turn_it_asked_for_and_the_others_return_at_once() -> None:
    work = Counted()
    taken = started(work)
    assert work.begun.acquire(timeout=5)
    waiter = threading.Thread(target=taken.serve)
    waiter.start()
    while not taken._waited_for:
        time.sleep(0.01)
    taken.serve()
    assert waiter.is_alive()
    work.go_on.release()  # the running turn may have looked before the call: it does not count
    assert work.begun.acquire(timeout=5)
    assert waiter.is_alive()
    work.go_on.release()
    waiter.join(5)
    assert not waiter.is_alive()
    assert ended(taken, work)


def test_nobody_waits_for_turns_that_have_ended() -> None:
    work = Counted()
    taken = started(work)
    waiter = threading.Thread(target=taken.serve)
    waiter.start()
    assert ended(taken, work)
    waiter.join(5)
    assert not waiter.is_alive()
    taken.serve()


def test_it_looks_by_itself() -> None:
    work = Counted()
    taken = started(work, poll_s=0.05)
    work.go_on.release(3)
    for _ in range(3):
        assert work.begun.acquire(timeout=5)
    assert ended(taken, work)


def test_calls_do_not_make_failing_turns_a_busy_loop() -> None:
    tries: list[float] = []

    def work(_: threading.Event) -> bool:
        tries.append(time.monotonic())
        raise IndexUnavailableError("away")

    taken = started(work)
    end = time.monotonic() + 0.5
    while time.monotonic() < end:
        taken.wake()
        time.sleep(0.01)
    taken.end()
    assert taken.join(5)
    assert len(tries) == 1
