"""Passages, hits and evidence for tests, short to write."""

import uuid

from pipelines.core.deadline import Deadline
from pipelines.core.events import Event
from pipelines.core.session import Session
from pipelines.core.types import Evidence, EvidenceItem, Hit, Passage, Sentence


def passage(*sentences: str, document: str = "doc", title: str = "Title", start: int = 100, page: int = 1) -> Passage:
    """A passage of these sentences, one blank between two, that starts at `start` of its source."""
    spans, at = [], start
    for sentence in sentences:
        spans.append(Sentence(start=at, end=at + len(sentence), page=page))
        at += len(sentence) + 1
    text = " ".join(sentences)
    return Passage(
        id=str(uuid.uuid5(uuid.NAMESPACE_OID, f"{document}/{start}/{text}")),
        document_id=document,
        version="v1",
        section_id=str(uuid.uuid5(uuid.NAMESPACE_OID, document)),
        title=title,
        source=f"{document}.md",
        page=page,
        start=start,
        end=start + len(text),
        text=text,
        sentences=tuple(spans),
    )


def hits(*passages: Passage) -> tuple[Hit, ...]:
    """The passages as retrieved, best first."""
    return tuple(Hit(passage=each, score=1.0 / rank) for rank, each in enumerate(passages, 1))


def evidence(*passages: Passage, sufficient: bool = True) -> Evidence:
    """Evidence that keeps every sentence."""
    items = tuple(
        EvidenceItem(number=number, passage=each, score=0.9, kept=tuple(range(len(each.sentences))))
        for number, each in enumerate(passages, 1)
    )
    return Evidence(items=items, sufficiency=0.9, sufficient=sufficient, retrieved_tokens=1000)


def session(
    events: list[Event] | None = None, *, timeout_s: float = 10.0, max_cost_usd: float | None = None
) -> Session:
    """A session that notes its events."""
    emit = (events if events is not None else []).append
    return Session(Deadline.after(timeout_s), emit, max_cost_usd=max_cost_usd)
