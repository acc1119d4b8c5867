"""Recorded traffic as preference data for small language models, in the form that TRL reads.

A pair is the stage's prompt, the teacher's answer as `chosen`, and as `rejected` what the small model replied to it:
a reply that was not of the schema, or one that the teacher's answer shows to be wrong.
"""

import json
from collections.abc import Iterator
from typing import Any

from pydantic import JsonValue, ValidationError

from pipelines.cite import Bindings
from pipelines.core.models import Message, parse, with_schema
from pipelines.core.settings import Settings
from pipelines.core.state import TeacherLabel, Trace
from pipelines.core.tasks import PlanTask, PruneTask
from pipelines.core.text import terms
from pipelines.plan import Rewrite
from pipelines.prune import Selection
from services.training.traffic.records import kept_sentences
from services.training.traffic.scrub import Scrubbed, Scrubber, texts_in
from services.training.traffic.teacher import REPLIES, prompt_of

AGREES = 0.5
"""Share of what the teacher found that a right answer finds as well."""


def preferences_of(trace: Trace, label: TeacherLabel, settings: Settings, scrubber: Scrubber) -> list[dict[str, Any]]:
    """The pairs of one record, each failure once; none where the small model agreed with the teacher."""
    try:
        prompt = with_schema(prompt_of(trace, settings), REPLIES[trace.stage])
        failures = list(dict.fromkeys(_failures(trace, label)))
    except ValidationError:  # the record is of another version of Strata
        return []
    if not failures:
        return []
    chosen = json.dumps(label.value, ensure_ascii=False)
    read = [_loaded(text) for text in (prompt[-1].content, chosen, *failures)]
    record = scrubber.record(text for value in read for text in texts_in(value))
    messages = [*prompt[:-1], Message(role=prompt[-1].role, content=_scrubbed(prompt[-1].content, record))]
    return [
        {
            "prompt": [message.model_dump() for message in messages],
            "chosen": [{"role": "assistant", "content": _scrubbed(chosen, record)}],
            "rejected": [{"role": "assistant", "content": _scrubbed(failure, record)}],
        }
        for failure in failures
    ]


def _failures(trace: Trace, label: TeacherLabel) -> Iterator[str]:
    """Replies of other models than the teacher that should not have been."""
    for reply in trace.replies:
        if reply["tier"] == label.tier or not reply["text"].strip():
            continue
        value = parse(reply["text"], REPLIES[trace.stage]) if reply["of_schema"] else None
        if value is None or not agrees(trace, value, REPLIES[trace.stage].model_validate(label.value)):
            yield reply["text"]


def agrees(trace: Trace, answer: Any, teacher: Any) -> bool:
    """Whether a small model's answer is right by the teacher's.

    A rewrite must carry over what the teacher's carries over; a selection must hold the sentences that the teacher
    needs and say the same of whether they answer; each claim must have one of the teacher's sources, or none like it.
    """
    if isinstance(teacher, Rewrite):
        asked = terms(PlanTask.model_validate(trace.task).question.text)
        wanted = terms(teacher.standalone) - asked
        return _share(wanted, terms(" ".join((answer.standalone, *answer.queries)))) >= AGREES
    if isinstance(teacher, Selection):
        hits = PruneTask.model_validate(trace.task).hits
        same = teacher.answerable == answer.answerable
        return same and _share(_numbers(teacher, len(hits)), _numbers(answer, len(hits))) >= AGREES
    return _same_sources(answer, teacher)


def _same_sources(answer: Bindings, teacher: Bindings) -> bool:
    given = {binding.claim: set(binding.sources) for binding in answer.bindings}
    for binding in teacher.bindings:
        found = given.get(binding.claim, set())
        if (binding.sources or found) and not found & set(binding.sources):
            return False
    return True


def _numbers(selection: Selection, passages: int) -> frozenset[tuple[int, int]]:
    """The kept sentences of passages that exist, as numbers of passage and sentence."""
    kept = kept_sentences(selection).items()
    return frozenset((passage, each) for passage, numbers in kept for each in numbers if 1 <= passage <= passages)


def _share(wanted: frozenset[Any], given: frozenset[Any]) -> float:
    return len(wanted & given) / len(wanted) if wanted else 1.0


def _loaded(text: str) -> JsonValue:
    """The JSON value of a text; the text itself where it is none."""
    try:
        value: JsonValue = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return value


def _scrubbed(text: str, record: Scrubbed) -> str:
    """A text without personal data; where it is JSON it stays so."""
    value = _loaded(text)
    return record.text(text) if isinstance(value, str) else json.dumps(record.json(value), ensure_ascii=False)
