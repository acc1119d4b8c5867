"""Texts of a corpus in the form that heads read them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

from pipelines.core.sentences import sentence_spans
from pipelines.core.types import Passage
from services.evaluation.data.rows import CorpusDocument
from services.training.examples import Example

Span = tuple[int, int]


@dataclass(frozen=True)
class Text:
    """A passage with its sentences.

    Attributes:
        id: Of its document in the corpus.
        context: Title and headings.
        spans: Its sentences, without white space at their ends.
    """

    id: str
    context: str
    text: str
    spans: tuple[Span, ...]

    @classmethod
    def of_document(cls, document: CorpusDocument) -> Self:
        """A short document as one passage; the corpus's own sentences where it has them."""
        spans = _located(document.text, document.sentences) if document.sentences else ()
        return cls(document.id, document.title, document.text, spans or _split(document.text))

    @classmethod
    def of_passage(cls, passage: Passage) -> Self:
        """A passage of the index."""
        spans = tuple((each.start - passage.start, each.end - passage.start) for each in passage.sentences)
        return cls(passage.source, passage.context, passage.text, spans)

    @cached_property
    def sentences(self) -> tuple[str, ...]:
        """Its sentences, word for word."""
        return tuple(self.text[start:end] for start, end in self.spans)

    def part(self, low: int, high: int) -> "Text":
        """Its sentences from `low` to before `high`."""
        start, end = self.spans[low][0], self.spans[high - 1][1]
        spans = tuple((first - start, last - start) for first, last in self.spans[low:high])
        return Text(self.id, self.context, self.text[start:end], spans)

    def example(
        self,
        question: str,
        *,
        group: str,
        source: str,
        label: float | None,
        good: Sequence[int] | None,
        weight: float = 1,
    ) -> Example:
        """An example of a head that reads a question with this passage.

        Args:
            good: The sentences that help; `None` where that is not known.
        """
        labels = None if good is None else tuple(float(at in good) for at in range(len(self.spans)))
        return Example(
            first=question,
            second=self.text,
            context=self.context,
            spans=self.spans,
            label=label,
            span_labels=labels,
            group=group,
            source=source,
            weight=weight,
        )


def _split(text: str) -> tuple[Span, ...]:
    return tuple(span for low, high in sentence_spans(text) if (span := _trimmed(text, low, high)))


def _trimmed(text: str, low: int, high: int) -> Span | None:
    inside = text[low:high]
    stripped = inside.strip()
    if not stripped:
        return None
    start = low + len(inside) - len(inside.lstrip())
    return start, start + len(stripped)


def _located(text: str, sentences: Sequence[str]) -> tuple[Span, ...]:
    """Where sentences stand in a text, one after the other; nothing where one is missing."""
    found = []
    at = 0
    for sentence in sentences:
        start = text.find(sentence.strip(), at)
        if start < 0 or not sentence.strip():
            return ()
        at = start + len(sentence.strip())
        found.append((start, at))
    return tuple(found)
