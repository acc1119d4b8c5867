"""What every record of batches does, on SQLite and on PostgreSQL."""

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipelines.core.errors import (
    IndexUnavailableError,
    InvalidRequestError,
    ModelRejectedError,
    ModelUnavailableError,
    NotFoundError,
    OverloadedError,
    RepeatedKeyError,
)
from pipelines.core.state import (
    Batches,
    Database,
    Fleet,
    JobState,
    JobStatus,
    Ledger,
    NewQuestion,
    Once,
    QuestionItem,
    QuestionStatus,
    owner_id,
)
from pipelines.core.types import Answer, AnswerStatus, Filter, Question
from tests.support.clock import Clock

TENANT = "default"
CHILD = Path(__file__).with_name("batches_child.py")
ELSEWHERE = "elsewhere:1:x"


@pytest.fixture
def batches(database: Database, clock: Clock) -> Batches:
    return Batches(database, clock=clock)


def asked(*texts: str) -> list[NewQuestion]:
    filter = Filter(tenant=TENANT, labels=("a",), metadata={"year": 2024, "tags": ("x", "y"), "new": True})
    questions = [Question(text=text, filter=filter) for text in texts]
    return [NewQuestion(question.model_dump(mode="json"), f"id-{question.text}") for question in questions]


def answer(item: QuestionItem, text: str = "Yes.") -> Answer:
    return Answer(
        id=f"{item.job_id}-{item.ordinal}", question=item.question.text, status=AnswerStatus.ANSWERED, text=text
    )


def claim(batches: Batches, limit: int = 10, *, holding: int = 0) -> list[QuestionItem]:
    return batches.claim(limit, ELSEWHERE, lease_s=60, holding=holding)


# --- Accepting and answering -----------------------------------------------------------------------------------------


def test_questions_are_answered_once_and_in_order(batches: Batches) -> None:
    job = batches.accept(TENANT, asked("one", "two", "three"))
    assert (job.kind, job.status, job.total, job.counts[QuestionStatus.QUEUED]) == ("answers", "queued", 3, 3)
    items = claim(batches)
    assert [item.question.text for item in items] == ["one", "two", "three"]
    assert items[0].question.filter.labels == ("a",)
    assert items[0].question.filter.metadata == {"year": 2024, "tags": ("x", "y"), "new": True}
    assert claim(batches) == []
    assert all(batches.finish(item, answer(item, "a\x00b😀")) for item in items)
    results = batches.results(job.id, TENANT)
    assert [(result.ordinal, result.custom_id, result.status) for result in results] == [
        (0, "id-one", "answered"),
        (1, "id-two", "answered"),
        (2, "id-three", "answered"),
    ]
    assert results[0].answer is not None
    assert (results[0].answer["text"], results[0].answer["receipt"]["total"]["calls"]) == ("a\x00b😀", 0)
    done = batches.job(job.id, TENANT)
    assert (done.status, done.finished) == (JobStatus.DONE, True)
    assert not batches.finish(items[0], answer(items[0]))


def test_thousands_of_questions_are_one_transaction(batches: Batches) -> None:
    def thousand() -> list[NewQuestion]:
        return asked(*(str(number) for number in range(1001)))

    def broken() -> Iterator[NewQuestion]:
        yield from thousand()
        raise RuntimeError("the disk is full")

    with pytest.raises(RuntimeError, match="the disk is full"):
        batches.accept(TENANT, broken())
    assert batches.waiting() == 0
    with pytest.raises(InvalidRequestError):
        batches.accept(TENANT, [])
    job = batches.accept(TENANT, thousand())
    assert (job.total, batches.waiting()) == (1001, 1001)
    assert [result.ordinal for result in batches.results(job.id, TENANT, after=998)] == [999, 1000]
    assert [item.ordinal for item in claim(batches, 3)] == [0, 1, 2]


def test_a_key_makes_one_job(batches: Batches) -> None:
    once = Once("key", "sha-1")
    first = batches.accept(TENANT, asked("one"), once=once)
    again = batches.accept(TENANT, asked("one"), once=once)
    assert (first.replayed, again.replayed, again.id) == (False, True, first.id)
    with pytest.raises(RepeatedKeyError):
        batches.accept(TENANT, asked("two"), once=Once("key", "sha-2"))
    assert batches.accept("other", asked("one"), once=once).id != first.id
    assert batches.waiting() == 2


def test_a_key_used_by_many_at_once_makes_one_job(address: str) -> None:
    database = Database(address)
    batches = Batches(database)
    with ThreadPoolExecutor(6) as pool:
        jobs = list(pool.map(lambda _: batches.accept(TENANT, asked("one"), once=Once("key", "sha")), range(6)))
    assert len({job.id for job in jobs}) == 1
    assert sum(not job.replayed for job in jobs) == 1
    assert batches.waiting() == 1
    database.close()


# --- Failing ---------------------------------------------------------------------------------------------------------


def test_a_failure_that_may_pass_is_tried_again_later(batches: Batches, clock: Clock) -> None:
    job = batches.accept(TENANT, asked("one"))
    for attempt in (1, 2):
        (item,) = claim(batches)
        assert item.attempt == attempt
        assert batches.fail(item, ModelUnavailableError("The provider is away."))
        assert claim(batches) == []
        shown = batches.job(job.id, TENANT)
        assert (shown.state, shown.retrying) == (JobState.RETRYING, 1)
        assert shown.detail == "The provider is away."
        assert shown.next_try_at is not None
        due_s = batches.next_due_s()
        assert due_s is not None
        assert due_s > 0
        clock.move(due_s + 1)
    (item,) = claim(batches)
    assert not batches.fail(item, ModelUnavailableError("The provider is away."))
    (result,) = batches.results(job.id, TENANT)
    assert (result.status, result.attempts, result.error_code) == ("failed", 3, "model_unavailable")
    assert batches.job(job.id, TENANT).status is JobStatus.FAILED
    assert batches.retry(job.id, TENANT) == 1
    assert batches.retry(job.id, TENANT) == 0
    (item,) = claim(batches)
    assert item.attempt == 1


def test_a_failure_for_good_is_not_tried_again(batches: Batches) -> None:
    batches.accept(TENANT, asked("one"))
    assert not batches.fail(claim(batches)[0], ModelRejectedError("The key is wrong."))
    assert batches.next_due_s() is None


def test_a_provider_says_how_long_to_wait_and_an_overload_costs_no_try(batches: Batches, clock: Clock) -> None:
    batches.accept(TENANT, asked("one"))
    (item,) = claim(batches)
    assert batches.fail(item, ModelUnavailableError("busy", retry_after_s=100))
    clock.move(99)
    assert claim(batches) == []
    clock.move(2)
    for _ in range(5):
        (item,) = claim(batches)
        assert item.attempt == 2
        batches.postpone(item, OverloadedError("full", retry_after_s=50))
        clock.move(49)
        assert claim(batches) == []
        clock.move(2)


def test_a_released_question_is_free_at_once(batches: Batches) -> None:
    batches.accept(TENANT, asked("one"))
    batches.release(claim(batches)[0])
    assert claim(batches)[0].attempt == 1


# --- Leases ----------------------------------------------------------------------------------------------------------


def test_an_expired_lease_is_taken_over_and_the_late_worker_changes_nothing(batches: Batches, clock: Clock) -> None:
    job = batches.accept(TENANT, asked("one"))
    (late,) = claim(batches)
    clock.move(59)
    assert batches.extend([late], 60) == {late.token}
    clock.move(59)
    assert claim(batches) == []
    clock.move(2)
    (taken,) = claim(batches)
    assert (taken.attempt, taken.alone) == (2, True)
    assert batches.extend([late], 60) == frozenset()
    assert not batches.finish(late, answer(late))
    assert not batches.fail(late, IndexUnavailableError("late"))
    batches.release(late)
    assert batches.finish(taken, answer(taken, "Mine."))
    assert batches.results(job.id, TENANT)[0].answer["text"] == "Mine."  # type: ignore[index]


def test_a_question_that_kills_its_workers_fails_alone(batches: Batches, clock: Clock) -> None:
    job = batches.accept(TENANT, asked(*"abcde"))
    for _ in range(30):
        items = claim(batches, 3)
        if any(item.question.text == "c" for item in items):
            clock.move(61)
        else:
            assert all(batches.finish(item, answer(item)) for item in items)
    results = batches.results(job.id, TENANT)
    assert [result.status for result in results] == ["answered", "answered", "failed", "answered", "answered"]
    assert (results[2].error_code, results[2].attempts) == ("question_worker_lost", 3)


def test_a_suspect_waits_until_its_worker_holds_nothing(batches: Batches, clock: Clock) -> None:
    batches.accept(TENANT, asked("one"))
    claim(batches)
    clock.move(61)
    assert claim(batches, holding=1) == []
    assert len(claim(batches)) == 1


def test_what_a_killed_process_held_is_claimable_at_once(address: str) -> None:
    database = Database(address)
    batches = Batches(database)
    batches.accept(TENANT, asked("one"))
    with _child(address, "CLAIM") as child:
        assert child.stdout is not None
        assert child.stdout.readline().strip() == "one"
        assert batches.claim(1, owner_id(), lease_s=60) == []
        child.kill()
    (item,) = batches.claim(1, owner_id(), lease_s=60)
    assert item.attempt == 2
    assert batches.reclaim() == 0
    assert batches.reclaim(everyone=True) == 1
    database.close()


def test_processes_never_answer_the_same_question(address: str) -> None:
    database = Database(address)
    batches = Batches(database)
    job = batches.accept(TENANT, asked(*(str(number) for number in range(60))))
    children = [_child(address, "DRAIN") for _ in range(3)]
    answered = [line for child in children for line in child.communicate(timeout=60)[0].split()]
    assert all(child.returncode == 0 for child in children)
    assert sorted(answered, key=int) == [str(number) for number in range(60)]
    assert batches.job(job.id, TENANT).counts[QuestionStatus.ANSWERED] == 60
    database.close()


def _child(address: str, action: str) -> "subprocess.Popen[str]":
    environment = os.environ | {"PYTHONPATH": str(Path.cwd())}
    command = [sys.executable, str(CHILD), address, action]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


# --- Cancelling, deleting, seeing ------------------------------------------------------------------------------------


def test_a_cancelled_batch_ends_and_keeps_its_answers(batches: Batches) -> None:
    job = batches.accept(TENANT, asked("one", "two", "three"))
    first, second = claim(batches, 2)
    batches.finish(first, answer(first))
    cancelled = batches.cancel(job.id, TENANT)
    assert (cancelled.status, cancelled.counts[QuestionStatus.CANCELLED]) == (JobStatus.CANCELLED, 2)
    assert batches.cancel(job.id, TENANT) == cancelled
    assert batches.extend([second], 60) == frozenset()
    assert not batches.finish(second, answer(second))
    assert claim(batches) == []
    assert batches.results(job.id, TENANT)[0].answer is not None


def test_a_deleted_batch_is_gone(batches: Batches) -> None:
    job = batches.accept(TENANT, asked("one", "two"))
    (held,) = claim(batches, 1)
    batches.delete(job.id, TENANT)
    assert batches.extend([held], 60) == frozenset()
    assert not batches.finish(held, answer(held))
    assert claim(batches) == []
    with pytest.raises(NotFoundError):
        batches.job(job.id, TENANT)


def test_batches_are_seen_by_their_tenant_and_by_readers_with_their_labels(batches: Batches) -> None:
    job = batches.accept(TENANT, asked("one"), labels=("a", "b"))
    ledger = Ledger(batches._database)
    for tenant, labels in (("other", None), (TENANT, ("a",)), (TENANT, ())):
        for call in (batches.job, batches.results, batches.cancel, batches.retry, batches.delete):
            with pytest.raises(NotFoundError):
                call(job.id, tenant, labels=labels)
        assert ledger.progress.jobs(tenant, labels=labels).items == ()
    assert batches.job(job.id, TENANT, labels=("a", "b", "c")).id == job.id
    assert [each.id for each in ledger.progress.jobs(TENANT, labels=("a", "b", "c")).items] == [job.id]
    unbound = batches.accept(TENANT, asked("two"))
    with pytest.raises(NotFoundError):
        batches.job(unbound.id, TENANT, labels=("a",))


def test_a_batch_waits_for_a_worker(batches: Batches, database: Database, clock: Clock) -> None:
    job = batches.accept(TENANT, asked("one"))
    assert (job.state, job.detail) == (JobState.WAITING, "No answers worker is running.")
    fleet = Fleet(database, clock=clock)
    fleet.beat(["answers", "ingest"], worker=ELSEWHERE)
    assert batches.job(job.id, TENANT).state is JobState.QUEUED
    fleet.beat(["answers", "ingest"], busy=["answers"], worker=ELSEWHERE)
    assert batches.job(job.id, TENANT).detail == "The one answers worker is busy."


def test_nobody_waits_in_a_circle_for_several_questions(batches: Batches) -> None:
    for _ in range(4):
        job = batches.accept(TENANT, asked(*map(str, range(60))))
        held = claim(batches, 60)
        with ThreadPoolExecutor() as pool:
            prolonged = [pool.submit(batches.extend, held[::step], 60) for step in (1, -1)]
            cancelled = pool.submit(batches.cancel, job.id, TENANT)
            prolonged += [pool.submit(batches.extend, held[::step], 60) for step in (1, -1)]
            assert cancelled.result().status is JobStatus.CANCELLED
            for each in prolonged:
                assert len(each.result()) in {0, 60}


def test_a_question_that_is_not_understood_fails_and_stops_no_other(batches: Batches) -> None:
    foreign = NewQuestion({"words": ["of", "a", "later", "Strata"]})
    job = batches.accept(TENANT, [foreign, *asked("two")])
    assert [item.question.text for item in claim(batches)] == ["two"]
    first, _ = batches.results(job.id, TENANT)
    assert (first.status, first.error_code) == (QuestionStatus.FAILED, "request_invalid")
