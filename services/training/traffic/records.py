"""What heads learn from recorded traffic: a teacher's labels as examples, without personal data."""

import hashlib
from collections.abc import Iterator

from pydantic import ValidationError

from pipelines.cite import Bindings, list_sources, read_claims
from pipelines.core.encoders import Pair
from pipelines.core.encoders.spec import HeadName
from pipelines.core.state import TeacherLabel, Trace, TracedStage
from pipelines.core.tasks import CiteTask, PlanTask, PruneResult, PruneTask
from pipelines.core.text import fold, term_of, terms
from pipelines.core.types import Evidence
from pipelines.plan import Rewrite
from pipelines.prune import Selection
from pipelines.reading import evidence_pair
from pipelines.resolve import resolve_pair, user_turns
from pipelines.sufficiency import sufficiency_pair
from pipelines.support import coverage
from services.training.examples import Example
from services.training.traffic.scrub import Scrubbed, Scrubber

STAGE_OF: dict[HeadName, TracedStage] = {
    "resolve": "plan",
    "evidence": "prune",
    "sufficiency": "prune",
    "support": "cite",
}
"""The stage whose records a head learns from."""
SOURCE = "traffic"
SUPPORTS, NEITHER = 0.0, 2.0
"""Places among the labels of the head `support`. A teacher does not say what contradicts a claim."""
NEAR_MISSES = 4
"""Sentences a claim that the teacher did not bind, those with most words in common."""
ENOUGH = 0.5
"""Share of the sentences that the teacher needs which the evidence must hold to be called sufficient."""


def examples_of(head: HeadName, trace: Trace, label: TeacherLabel, scrubber: Scrubber) -> list[Example]:
    """What a head can learn from one record; nothing where that has no word on it, or is of another version."""
    try:
        examples = list(_MAKERS[head](trace, label))
    except ValidationError:
        return []
    record = scrubber.record(text for each in examples for text in (each.first, each.second, each.context))
    return [_scrubbed(each, record) for each in examples]


def _resolve(trace: Trace, label: TeacherLabel) -> Iterator[Example]:
    question = PlanTask.model_validate(trace.task).question
    turns = user_turns(question.history)
    if not turns:
        return
    pair = resolve_pair(question.text, turns)
    needed = terms(Rewrite.model_validate(label.value).standalone) - terms(question.text)
    words = tuple(float(term_of(pair.second[start:end]) in needed) for start, end in pair.spans)
    if words:
        yield _example(pair, trace, span_labels=words)


def _evidence(trace: Trace, label: TeacherLabel) -> Iterator[Example]:
    task, kept = PruneTask.model_validate(trace.task), kept_sentences(Selection.model_validate(label.value))
    for number, hit in enumerate(task.hits, 1):
        chosen = kept.get(number, frozenset())
        pair = evidence_pair(task.question, hit)
        sentences = tuple(float(index in chosen) for index in range(1, len(pair.spans) + 1))
        yield _example(pair, trace, label=float(any(sentences)), span_labels=sentences)


def _sufficiency(trace: Trace, label: TeacherLabel) -> Iterator[Example]:
    task, selection = PruneTask.model_validate(trace.task), Selection.model_validate(label.value)
    evidence = PruneResult.model_validate(trace.result).evidence
    if evidence.items:
        enough = selection.answerable and share_kept(task, selection, evidence) >= ENOUGH
        yield _example(sufficiency_pair(task.question, evidence.items), trace, label=float(enough))


def _support(trace: Trace, label: TeacherLabel) -> Iterator[Example]:
    task, bindings = CiteTask.model_validate(trace.task), Bindings.model_validate(label.value)
    claims, sources = read_claims(task.draft.text), list_sources(task.evidence)
    bound = {each.claim: set(each.sources) for each in bindings.bindings}
    for number, claim in enumerate(claims, 1):
        if number not in bound or not claim.states:
            continue
        others = [at for at in range(1, len(sources) + 1) if at not in bound[number]]
        others.sort(key=lambda at: -coverage(claim.text, sources[at - 1].text))
        for at in (*sorted(bound[number]), *others[:NEAR_MISSES]):
            if 1 <= at <= len(sources):
                source = sources[at - 1]
                pair = Pair(claim.text, source.text, source.item.passage.context)
                yield _example(pair, trace, label=SUPPORTS if at in bound[number] else NEITHER)


_MAKERS = {"resolve": _resolve, "evidence": _evidence, "sufficiency": _sufficiency, "support": _support}


def kept_sentences(selection: Selection) -> dict[int, frozenset[int]]:
    """The numbers of the sentences kept, by the number of their passage; both count from 1."""
    return {kept.passage: frozenset(kept.sentences) for kept in selection.keep}


def share_kept(task: PruneTask, selection: Selection, evidence: Evidence) -> float:
    """The share of the sentences that a teacher selected which the evidence holds; 1 where it selected none."""
    held = {item.passage.id: {index + 1 for index in item.kept} for item in evidence.items}
    wanted = [
        (task.hits[passage - 1].passage.id, sentence)
        for passage, sentences in kept_sentences(selection).items()
        for sentence in sentences
        if 1 <= passage <= len(task.hits) and 1 <= sentence <= len(task.hits[passage - 1].passage.sentences)
    ]
    return sum(sentence in held.get(passage, ()) for passage, sentence in wanted) / len(wanted) if wanted else 1.0


def _example(
    pair: Pair, trace: Trace, *, label: float | None = None, span_labels: tuple[float, ...] | None = None
) -> Example:
    return Example(
        first=pair.first,
        second=pair.second,
        context=pair.context,
        spans=pair.spans,
        label=label,
        span_labels=span_labels,
        group=_group(trace),
        source=SOURCE,
    )


def _group(trace: Trace) -> str:
    """The same for a question that was asked again: it must not be trained on and judged by."""
    asked = trace.task["question"]
    text = asked if isinstance(asked, str) else " ".join((*(turn["text"] for turn in asked["history"]), asked["text"]))
    return hashlib.sha256(fold(text).encode()).hexdigest()[:16]


def _scrubbed(example: Example, record: Scrubbed) -> Example:
    """The example without personal data. Spans that fell together are one, with the highest of their labels."""
    second, places = record.with_spans(example.second, example.spans)
    spans: list[tuple[int, int]] = []
    labels: list[float] = []
    for (start, end), label in zip(places, example.span_labels or [0.0] * len(places), strict=True):
        if spans and start < spans[-1][1]:
            spans[-1] = spans[-1][0], max(end, spans[-1][1])
            labels[-1] = max(label, labels[-1])
        else:
            spans.append((start, end))
            labels.append(label)
    return example.model_copy(
        update={
            "first": record.text(example.first),
            "second": second,
            "context": record.text(example.context),
            "spans": tuple(spans),
            "span_labels": None if example.span_labels is None else tuple(labels),
        }
    )
