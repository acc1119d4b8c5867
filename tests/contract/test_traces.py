"""Records of stages, teachers' labels and their removal: on SQLite and on PostgreSQL."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from pipelines.core.state import (
    Database,
    Ledger,
    Retention,
    Submission,
    TeacherLabel,
    Trace,
    TraceFilter,
    Traces,
)
from tests.support.clock import Clock

TENANT = "default"
EVERY = TraceFilter()
Make = Callable[..., Trace]


@pytest.fixture
def traces(database: Database, clock: Clock) -> Traces:
    return Traces(database, clock=clock)


@pytest.fixture
def make(clock: Clock) -> Make:
    def make(name: str, **fields: object) -> Trace:
        given = {
            "id": name,
            "tenant": TENANT,
            "question_id": f"question of {name}",
            "stage": "plan",
            "created_at": clock(),
            "config_version": "c",
            "tier": "small",
            "model": "openai/small",
            "labels": None,
            "task": {"question": "Wo ist Zürich? 東京 \x00"},
            "result": {"plan": [1.5, None]},
            "replies": [{"text": "no JSON", "of_schema": False}],
            "parse": "failed",
            "scores": {},
            **fields,
        }
        return Trace(**given)  # type: ignore[arg-type]

    return make


def accept(ledger: Ledger, name: str) -> None:
    submission = Submission(
        document_id=name,
        source=name,
        name=name,
        content_sha256="a" * 64,
        size_bytes=1,
        format="pdf",
        blob_key=f"blob-{name}",
        fingerprint=f"a-{name}",
    )
    ledger.accept(TENANT, [submission])
    for item in ledger.leases.claim(10, "elsewhere:1:x", 60):
        ledger.leases.finish(item, passages=1, title="t", text_key=None)


def ids(traces: Traces, which: TraceFilter = EVERY) -> list[str]:
    return [trace.id for trace in traces.page(which).items]


def test_a_record_comes_back_as_it_was(traces: Traces, make: Make) -> None:
    one, other = make("a", labels=("board", "hr")), make("b", labels=())
    assert traces.record([one, other]) == 2
    assert traces.page(EVERY).items == (one, other)


def test_a_task_that_two_workers_did_is_recorded_once(traces: Traces, make: Make) -> None:
    assert traces.record([make("a"), make("a", tier="late")]) == 1
    assert traces.record([make("a", tier="later"), make("b")]) == 1
    assert ids(traces) == ["a", "b"]


def test_records_are_chosen_counted_and_paged(traces: Traces, make: Make, clock: Clock) -> None:
    for number in range(5):
        traces.record([make(f"p{number}"), make(f"c{number}", stage="cite", tenant="t", parse="ok", question_id="q")])
        clock.move(1)
    assert ids(traces, TraceFilter(stage="cite", tenant="t")) == [f"c{number}" for number in range(5)]
    assert ids(traces, TraceFilter(question_id="q", stage="plan")) == []
    assert traces.counts(EVERY) == {("plan", "failed"): 5, ("cite", "ok"): 5}
    first = traces.page(EVERY, limit=7)
    rest = traces.page(EVERY, limit=7, cursor=first.next_cursor)
    assert [trace.id for trace in (*first.items, *rest.items)] == ids(traces)
    assert rest.next_cursor is None


def test_a_teacher_labels_what_it_has_not_labelled(traces: Traces, make: Make) -> None:
    traces.record([make(f"t{number:03}") for number in range(120)])
    label = TeacherLabel(tier="large", model="openai/large", value={"answerable": True}, cost_usd=0.25)
    assert traces.label("t000", label)
    assert traces.label("t000", label), "again, in its own place"
    assert not traces.label("gone", label)
    left = [trace.id for trace in traces.unlabelled(EVERY, "large")]
    assert left == [f"t{number:03}" for number in range(1, 120)]
    assert len(list(traces.unlabelled(EVERY, "another"))) == 120
    assert [(trace.id, found) for trace, found in traces.labelled(EVERY)] == [("t000", label)]
    assert list(traces.labelled(EVERY, "another")) == []
    assert traces.label_counts(EVERY) == {("plan", "large"): 1}


def test_the_newest_label_counts_unless_a_teacher_is_named(traces: Traces, make: Make, clock: Clock) -> None:
    traces.record([make("a")])
    for tier in ("first", "second"):
        traces.label("a", TeacherLabel(tier=tier, model="m", value={}))
        clock.move(1)
    assert [label.tier for _, label in traces.labelled(EVERY)] == ["second"]
    assert [label.tier for _, label in traces.labelled(EVERY, "first")] == ["first"]


def test_with_a_document_goes_all_of_the_questions_that_found_it(
    traces: Traces, make: Make, ledger: Ledger, clock: Clock
) -> None:
    for name in ("kept", "deleted"):
        accept(ledger, name)
    traces.record(
        [
            make("plan", question_id="q1"),
            make("prune", question_id="q1", stage="prune", document_ids=("kept", "deleted")),
            make("other", question_id="q2", stage="prune", document_ids=("kept",)),
        ]
    )
    traces.label("prune", TeacherLabel(tier="large", model="m", value={}))
    ledger.delete_document("deleted", TENANT)
    assert traces.record([make("late", stage="prune", document_ids=("deleted",))]) == 0, "it is about to be deleted"
    for deletion in ledger.leases.claim_deletions(5, "elsewhere:1:x", 60):
        assert ledger.leases.purge(deletion)
    assert ids(traces) == ["other"]
    assert list(traces.labelled(EVERY)) == []
    late = make("later", stage="prune", document_ids=("deleted",))
    assert traces.record([late, make("without")]) == 1, "a question ended after the document was deleted"


def test_records_are_deleted_by_tenant_and_forgotten_by_age(
    traces: Traces, make: Make, database: Database, clock: Clock
) -> None:
    traces.record([make(f"a{number}", tenant="a") for number in range(3)] + [make("b", tenant="b")])
    traces.label("a0", TeacherLabel(tier="large", model="m", value={}))
    assert traces.delete(TraceFilter(tenant="a"), limit=2) == 2
    assert traces.delete(TraceFilter(tenant="a"), limit=2) == 1
    assert traces.delete(TraceFilter(tenant="a"), limit=2) == 0
    clock.move(timedelta(days=1).total_seconds())
    traces.record([make("young")])
    retention = Retention(database, clock=clock)
    assert retention.forget_traces(2, 10) == 0
    assert retention.forget_traces(0.5, 10) == 1
    assert ids(traces) == ["young"]
