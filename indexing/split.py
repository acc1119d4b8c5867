"""Common form → sections → passages with sentence offsets."""

import re
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from haystack import component

from indexing.blocks import Block, Kind, cut, read_blocks
from indexing.convert.base import PAGE_BREAK
from indexing.identity import NAMESPACE
from indexing.read import OpenDocument
from indexing.stream import Rejected, SplitEnd, SplitItem, SplitPassage, Stream, rejected
from pipelines.core.access import Labels
from pipelines.core.blobs import TextWriter
from pipelines.core.errors import EmptyDocumentError
from pipelines.core.sentences import sentence_spans
from pipelines.core.settings import SplitSettings
from pipelines.core.types import Passage, Scalar, Sentence

_WORD = re.compile(r"\S+")
_RULE = re.compile(r"^[\s|:+=_*>-]*$")
# Emphasis and list marks at a sentence's ends belong to the page's dress, not to the quote.
_LEAD = re.compile(r"[\s>]*(?:(?:[-*+•]|\d{1,3}[.)])\s+)?")
CHARS_PER_WORD = 12  # a "word" without spaces (base64, Chinese) counts as several


@dataclass(frozen=True, slots=True)
class DocumentFacts:
    """What every passage of a document repeats."""

    document_id: str
    version: str
    title: str
    source: str
    paged: bool = False
    metadata: dict[str, Scalar | tuple[Scalar, ...]] = field(default_factory=dict)
    labels: Labels = ()


@dataclass(slots=True)
class _Unit:
    """A sentence with the text up to the next one: what a passage is packed from.

    Attributes:
        sentence: Start, end and page of what there is to quote.
    """

    raw: str
    start: int
    page: int
    sentence: tuple[int, int, int] | None
    words: int
    opens_block: bool
    heading: bool

    @property
    def tells(self) -> bool:
        """Whether it is more than a rule or a heading."""
        return self.sentence is not None and not self.heading


class Splitter:
    """Packs whole sentences into passages that never leave their section.

    Args:
        settings: `max_words` bounds a passage; a single longer sentence is cut between words.
    """

    def __init__(self, settings: SplitSettings) -> None:
        self._max_words = settings.max_words

    def split(self, parts: Iterable[str], facts: DocumentFacts) -> Iterator[Passage]:
        """Splits the pieces of a source text. Memory is bounded by the longest section heading path and one passage.

        `facts.title` names the document; a first heading that repeats it is left out of the section paths.
        """
        builder = _Builder(facts, self._max_words)
        for block in read_blocks(parts):
            if block.kind is Kind.HEADING:
                yield from builder.enter(block)
            else:
                for unit in _units(block, self._max_words):
                    yield from builder.add(unit)
        yield from builder.flush()


@component
class PassageSplitter:
    """Splits documents as they are read; one that cannot be read to its end is rejected, and the next one goes on."""

    def __init__(self, splitter: Splitter) -> None:
        self._splitter = splitter

    @component.output_types(items=Stream[SplitItem])
    def run(self, documents: Stream[OpenDocument | Rejected]) -> dict[str, Stream[SplitItem]]:
        """Yields each document's passages, then its end."""
        return {"items": Stream(item for document in documents for item in self._items(document))}

    def _items(self, document: OpenDocument | Rejected) -> Iterator[SplitItem]:
        if isinstance(document, Rejected):
            yield document
            return
        submission, passages = document.submission, 0
        try:
            with document.text as text:
                for passage in self._splitter.split(_kept(document.parts, text), _facts(document)):
                    passages += 1
                    yield SplitPassage(submission, passage)
                if not passages:
                    raise EmptyDocumentError("The file holds no text.")
        except Exception as error:  # one document's boundary: a parser may raise anything
            yield rejected(submission, error)
        else:
            yield SplitEnd(submission, document.title, text.key, passages)


def _kept(parts: Iterable[str], text: TextWriter) -> Iterator[str]:
    for part in parts:
        text.write(part)
        yield part


def _facts(document: OpenDocument) -> DocumentFacts:
    submission = document.submission
    return DocumentFacts(
        document_id=submission.document_id,
        version=submission.version,
        title=document.title,
        source=submission.source,
        paged=document.paged,
        metadata={**document.metadata, **submission.metadata},
        labels=submission.labels,
    )


class _Builder:
    """Collects units into the passage that is open, and knows the section it stands in."""

    def __init__(self, facts: DocumentFacts, max_words: int) -> None:
        self._facts, self._max_words = facts, max_words
        self._path: list[tuple[int, str]] = []
        self._section = 0
        self._ordinal = 0
        self._units: list[_Unit] = []
        self._words = 0
        self._told = False  # one of the units tells something

    def enter(self, heading: Block) -> Iterator[Passage]:
        """Starts a section. Its heading line opens the section's first passage, after headings that have no text."""
        if self._told:
            yield from self.flush()
        units = list(_units(heading, self._max_words))
        if self._words + units[0].words > self._max_words:
            yield from self.flush()
        self._path = [(level, text) for level, text in self._path if level < heading.level]
        self._path.append((heading.level, heading.heading))
        self._section += 1
        for unit in units:
            yield from self.add(unit)

    def add(self, unit: _Unit) -> Iterator[Passage]:
        if self._units and self._words + unit.words > self._max_words:
            yield from self.flush(keep=self._tail(unit))
        self._units.append(unit)
        self._words += unit.words
        self._told = self._told or unit.tells

    def flush(self, keep: int = 0) -> Iterator[Passage]:
        """Closes the open passage, its last `keep` units left to open the next one.

        Headings that no text follows become a passage of their own; rules alone are dropped.
        """
        at = len(self._units) - keep
        taken, self._units = self._units[:at], self._units[at:]
        self._words = sum(unit.words for unit in self._units)
        self._told = any(unit.tells for unit in self._units)
        with_sentence = [unit for unit in taken if unit.sentence]
        told = [unit for unit in taken if unit.tells] or with_sentence
        if told:
            yield self._passage(taken, [unit.sentence for unit in told if unit.sentence])

    def _tail(self, incoming: _Unit) -> int:
        """How many units move on with `incoming`: a block is kept whole where that leaves the passage half full."""
        if incoming.opens_block:
            return 0
        for back in range(1, len(self._units)):
            if self._units[-back].opens_block:
                left = sum(unit.words for unit in self._units[:-back])
                fits = self._words - left + incoming.words <= self._max_words
                return back if fits and left * 2 >= self._max_words else 0
        return 0

    def _passage(self, units: list[_Unit], sentences: list[tuple[int, int, int]]) -> Passage:
        raw = "".join(unit.raw for unit in units)
        lead = len(raw) - len(raw.lstrip())
        start = units[0].start + lead
        text = raw.strip()
        facts, ordinal = self._facts, self._ordinal
        self._ordinal += 1
        paged = facts.paged
        page = units[0].page + raw[:lead].count(PAGE_BREAK) if paged else None
        path = [text for _, text in self._path]
        if path and (path[0] == facts.title or facts.title.startswith(f"{path[0]} (")):
            path = path[1:]
        return Passage(
            id=str(uuid.uuid5(NAMESPACE, f"{facts.document_id}/{facts.version}/{ordinal}")),
            document_id=facts.document_id,
            version=facts.version,
            section_id=str(uuid.uuid5(NAMESPACE, f"{facts.document_id}/{facts.version}/section/{self._section}")),
            title=facts.title,
            source=facts.source,
            section_path=tuple(path),
            page=page,
            start=start,
            end=start + len(text),
            text=text,
            sentences=tuple(Sentence(start=at, end=end, page=on if paged else None) for at, end, on in sentences),
            metadata=facts.metadata,
            labels=facts.labels,
        )


def _units(block: Block, max_words: int) -> Iterator[_Unit]:
    """Cuts a block into units; their `raw` join to the block's."""
    at, page = 0, block.page
    for end in _ends(block):
        for raw in _bounded(block.raw[at:end], max_words):
            yield _unit(block, at, page, raw)
            at += len(raw)
            page += raw.count(PAGE_BREAK)
    assert at == len(block.raw)


def _ends(block: Block) -> Iterator[int]:
    """Ends of the sentences of a block; of its rows or lines where it is a table, code or a heading."""
    if block.kind in (Kind.HEADING, Kind.TABLE, Kind.CODE):
        at, filled = 0, False
        for line in block.raw.splitlines(keepends=True):
            if filled and line.strip():  # blank lines stay with the line before them
                yield at
            filled = filled or bool(line.strip())
            at += len(line)
        yield at
        return
    mark = match.end() if block.kind is Kind.LIST_ITEM and (match := _LEAD.match(block.raw)) else 0
    for _, end in sentence_spans(block.raw):
        if end > mark:  # the full stop of `12.` ends no sentence
            yield end


def _bounded(raw: str, max_words: int) -> Iterator[str]:
    """Cuts what is longer than a passage, between words."""
    if len(raw) <= 2 * max_words:  # even words of one letter each are not more
        yield raw
        return
    limit = max_words * CHARS_PER_WORD
    text, blank = raw, ""
    if len(raw) > limit:  # blank lines at the end must not cut the text before them
        text = raw.rstrip()
        blank = raw[len(text) :]
    for piece in (each for part in (text, blank) if part for each in cut(part, limit)):
        words = list(_WORD.finditer(piece))
        at = 0
        for word in words[max_words::max_words]:
            yield piece[at : word.start()]
            at = word.start()
        yield piece[at:]


def _unit(block: Block, at: int, page: int, raw: str) -> _Unit:
    start = block.start + at
    sentence = None
    if not _RULE.match(raw):
        lead = len(raw) - len(raw.lstrip())
        end = len(raw.rstrip())
        if block.kind in (Kind.LIST_ITEM, Kind.PARAGRAPH) and at == 0 and (match := _LEAD.match(raw, 0, end)):
            lead = match.end()
        if lead < end:
            on = page + raw[:lead].count(PAGE_BREAK)
            sentence = (start + lead, start + end, on)
    words = max(len(raw.split()), len(raw) // CHARS_PER_WORD)
    return _Unit(raw, start, page, sentence, words, at == 0, block.kind is Kind.HEADING)
