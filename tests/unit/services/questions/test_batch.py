"""Turns at batches of questions, on a real record of them; only the answers are made up."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from pipelines.core.errors import (
    IndexUnavailableError,
    InvalidRequestError,
    ModelUnavailableError,
    OverloadedError,
    StateUnavailableError,
)
from pipelines.core.state import Batches, Database, Job, NewQuestion, QuestionItem, QuestionResult, sqlite_url
from pipelines.core.types import Answer, AnswerStatus, Question
from services.loop import EventLoop
from services.questions import batch
from services.questions.batch import BatchAnswering

TENANT = "default"
Ask = Callable[[Question], Awaitable[Answer]]


async def yes(question: Question) -> Answer:
    return Answer(id=f"a-{question.text}", question=question.text, status=AnswerStatus.ANSWERED, text="Yes.")


class Desk:
    """Batches, and whoever answers them."""

    def __init__(self, folder: Path) -> None:
        self.database = Database(sqlite_url(folder / "state.sqlite"))
        self.batches = Batches(self.database)
        self.loop = EventLoop()
        self.stop = threading.Event()
        self.ask: Ask = yes

    def answering(self, *, concurrency: int = 2, lease_s: float = 60.0) -> BatchAnswering:
        async def ask(question: Question) -> Answer:
            return await self.ask(question)

        return BatchAnswering(self.batches, ask=ask, loop=lambda: self.loop, concurrency=concurrency, lease_s=lease_s)

    def submit(self, *texts: str) -> Job:
        asked = [NewQuestion(Question(text=text).model_dump(mode="json")) for text in texts]
        return self.batches.accept(TENANT, asked)

    def results(self, job: Job) -> list[QuestionResult]:
        return self.batches.results(job.id, TENANT)

    def close(self) -> None:
        self.loop.close()
        self.database.close()


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.setattr(batch, "EXTEND_S", 0.05)
    monkeypatch.setattr(batch, "GRACE_S", 1.0)
    monkeypatch.setattr(batch, "LOOK_S", 0.05)
    desk = Desk(tmp_path)
    yield desk
    desk.close()


def test_a_turn_answers_so_many_at_a_time(desk: Desk) -> None:
    running, most = 0, 0

    async def slow(question: Question) -> Answer:
        nonlocal running, most
        running, most = running + 1, max(most, running + 1)
        await asyncio.sleep(0.02)
        running -= 1
        return await yes(question)

    desk.ask = slow
    jobs = [desk.submit(*(f"{number}" for number in range(7))), desk.submit("last")]
    assert desk.answering(concurrency=3).turn(desk.stop) is False
    assert most == 3
    assert [result.status for job in jobs for result in desk.results(job)] == ["answered"] * 8
    assert desk.answering().turn(desk.stop) is False  # nothing is left


def test_each_failure_is_recorded_and_costs_the_others_nothing(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    async def some(question: Question) -> Answer:
        errors: dict[str, Exception] = {
            "empty": InvalidRequestError("The question is empty."),
            "provider": ModelUnavailableError("The provider is away."),
            "quota": OverloadedError("The quota is spent.", retry_after_s=7),
            "bug": ValueError("a secret text"),
        }
        if question.text in errors:
            raise errors[question.text]
        return await yes(question)

    desk.ask = some
    job = desk.submit("good", "empty", "provider", "quota", "bug", "good too")
    assert desk.answering().turn(desk.stop) is True  # some are tried again later
    told = [(result.status, result.error_code, result.attempts) for result in desk.results(job)]
    assert told == [
        ("answered", None, 1),
        ("failed", "request_invalid", 1),
        ("queued", "model_unavailable", 1),
        ("queued", "overloaded", 0),
        ("queued", "question_unforeseen", 1),
        ("answered", None, 1),
    ]
    assert "ValueError" in caplog.text
    assert "secret" not in caplog.text


def test_an_index_that_is_away_ends_the_turn_and_costs_no_try(desk: Desk) -> None:
    async def away(question: Question) -> Answer:
        if question.text == "second":
            raise IndexUnavailableError("away")
        await asyncio.sleep(0.1)
        return await yes(question)

    desk.ask = away
    job = desk.submit("first", "second", "third")
    with pytest.raises(IndexUnavailableError):
        desk.answering().turn(desk.stop)
    told = [(result.status, result.attempts) for result in desk.results(job)]
    assert told == [("answered", 1), ("queued", 0), ("queued", 0)]


def test_an_answer_outlives_a_state_database_that_is_away(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    finish, tries = desk.batches.finish, 0

    def broken(item: QuestionItem, answer: Answer) -> bool:
        nonlocal tries
        tries += 1
        if tries < 4:
            raise StateUnavailableError("away")
        return finish(item, answer)

    monkeypatch.setattr(desk.batches, "finish", broken)
    job = desk.submit("paid for", "next")
    with pytest.raises(StateUnavailableError):
        desk.answering(concurrency=1).turn(desk.stop)
    assert [(result.status, result.attempts) for result in desk.results(job)] == [("answered", 1), ("queued", 0)]


def test_a_stop_gives_back_what_does_not_end_soon(desk: Desk) -> None:
    began, cancelled = threading.Event(), threading.Event()

    async def endless(question: Question) -> Answer:
        if question.text == "quick":
            await asyncio.sleep(0.1)
            return await yes(question)
        began.set()
        try:
            await asyncio.sleep(60)
        finally:
            cancelled.set()
        raise AssertionError

    desk.ask = endless
    job = desk.submit("quick", "endless", "waiting")
    turn = threading.Thread(target=desk.answering().turn, args=(desk.stop,))
    turn.start()
    assert began.wait(30)
    started = time.monotonic()
    desk.stop.set()
    turn.join(10)
    assert time.monotonic() - started < 9
    assert cancelled.is_set()
    assert [(result.status, result.attempts) for result in desk.results(job)] == [
        ("answered", 1),
        ("queued", 0),
        ("queued", 0),
    ]


def test_what_was_cancelled_or_lost_is_not_answered_to_its_end(desk: Desk) -> None:
    began, cancelled = threading.Event(), threading.Event()

    async def endless(question: Question) -> Answer:
        if question.text == "other":
            return await yes(question)
        began.set()
        try:
            await asyncio.sleep(60)
        finally:
            cancelled.set()
        raise AssertionError

    desk.ask = endless
    job = desk.submit("unwanted")
    turn = threading.Thread(target=desk.answering(concurrency=1).turn, args=(desk.stop,))
    turn.start()
    assert began.wait(30)
    other = desk.submit("other")
    desk.batches.cancel(job.id, TENANT)
    assert cancelled.wait(30)
    turn.join(10)
    assert not turn.is_alive()
    assert desk.results(other)[0].status == "answered"


def test_leases_are_kept_for_as_long_as_an_answer_takes(desk: Desk) -> None:
    async def slow(question: Question) -> Answer:
        await asyncio.sleep(2.0)
        return await yes(question)

    desk.ask = slow
    job = desk.submit("long")
    turn = threading.Thread(target=desk.answering(lease_s=1.0).turn, args=(desk.stop,))
    turn.start()
    time.sleep(1.4)
    assert desk.batches.claim(1, "elsewhere:1:x", 60) == []
    turn.join(10)
    assert [(result.status, result.attempts) for result in desk.results(job)] == [("answered", 1)]


def test_a_suspect_is_answered_alone(desk: Desk) -> None:
    job = desk.submit("suspect", "a", "b", "c")
    assert len(desk.batches.claim(1, "elsewhere:1:x", 1e-6)) == 1
    beside: list[int] = []
    running = 0

    async def watched(question: Question) -> Answer:
        nonlocal running
        running += 1
        await asyncio.sleep(0.05)
        if question.text == "suspect":
            beside.append(running)
        running -= 1
        return await yes(question)

    desk.ask = watched
    desk.answering(concurrency=3).turn(desk.stop)
    assert beside == [1]
    assert {result.status for result in desk.results(job)} == {"answered"}
