"""What became of one question: what reached the large model, what it cost, and whether the citations hold."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.peers.model import LARGE, SMALL, Call, busy_s
from benchmarks.peers.questions import Question
from benchmarks.peers.systems.base import Chunk
from benchmarks.peers.writer import sentences_of

_SPACE = re.compile(r"\s+")


@dataclass(frozen=True)
class Judged:
    """The figures of one question; shares are from 0 to 1, `None` where the question has nothing to measure.

    Attributes:
        cpu_ms: Processor time of the system's process, encoder included; it does not depend on what else runs.
        overhead_ms: Wall time outside in-process models and outside the stub's own thinking.
        gold_passages: Share of the gold passages of which a sentence, word for word, reached the large model.
        gold_sentences: Share of the gold sentences that did.
        answer_shown: A gold answer stood in what reached the large model.
        valid: There are citations, and every claim stands word for word in each passage that it cites.
        swapped: The stub gave a wrong citation in this answer.
    """

    large_calls: int
    large_tokens_in: int
    large_tokens_out: int
    small_calls: int
    small_tokens: int
    wall_ms: float
    cpu_ms: float
    model_ms: float
    stub_ms: float
    overhead_ms: float
    gold_passages: float
    gold_sentences: float | None
    answer_shown: float | None
    answer_right: float | None
    valid: float
    quoted: float
    swapped: float
    abstained: float


def judge(question: Question, reply: Mapping[str, Any], calls: list[Call], chunks: Mapping[str, Chunk]) -> Judged:
    """Figures of a question from the system's reply and the model calls that it made."""
    large = [call for call in calls if call.model == LARGE]
    small = [call for call in calls if call.model == SMALL]
    shown = flat("\n".join(call.written.prompt.shown for call in large if call.written))
    stub_s = busy_s(calls)
    swapped = any(call.written.swapped for call in large if call.written)
    return Judged(
        large_calls=len(large),
        large_tokens_in=sum(call.tokens_in for call in large),
        large_tokens_out=sum(call.tokens_out for call in large),
        small_calls=len(small),
        small_tokens=sum(call.tokens_in + call.tokens_out for call in small),
        wall_ms=1000 * reply["seconds"],
        cpu_ms=1000 * reply["cpu_s"],
        model_ms=1000 * reply["model_s"],
        stub_ms=1000 * stub_s,
        overhead_ms=1000 * (reply["seconds"] - reply["model_s"] - stub_s),
        gold_passages=_share(_reached(chunks[each], shown) for each in question.gold),
        gold_sentences=_share(flat(quote) in shown for quote in question.quotes) if question.quotes else None,
        answer_shown=_holds(shown, question.answers),
        answer_right=_holds(flat(reply["text"]), question.answers),
        valid=float(valid(reply["text"], reply["sources"], chunks)),
        quoted=float(quoted(reply["sources"], reply["quotes"], chunks)),
        swapped=float(swapped),
        abstained=float(reply["abstained"]),
    )


def valid(text: str, sources: Mapping[str, str], chunks: Mapping[str, Chunk]) -> bool:
    """Whether an answer cites, and every claim stands word for word in each passage that it cites."""
    found = list(claims(text, sources))
    return bool(found) and all(
        source in chunks and flat(claim) in flat(chunks[source].content) for claim, source in found
    )


def quoted(sources: Mapping[str, str], quotes: Mapping[str, str], chunks: Mapping[str, Chunk]) -> bool:
    """Whether every citation brings words of its source, and they stand there."""
    return bool(sources) and all(
        marker in quotes and flat(quotes[marker]) in flat(chunks[source].content) for marker, source in sources.items()
    )


def claims(text: str, sources: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Each claim of an answer with each source that it cites; markers that follow each other share one claim.

    A line without a marker is a claim with the source `""`, which no passage has.
    """
    if "" in sources:
        yield from ((line, sources[""]) for line in text.splitlines() if line.strip())
        return
    markers = re.compile("|".join(re.escape(marker) for marker in sources) or r"(?!)")
    for line in text.splitlines():
        claim, end = "", 0
        for marker in markers.finditer(line):
            claim = line[end : marker.start()].strip(" .") or claim
            end = marker.end()
            yield claim, sources[marker[0]]
        if rest := line[end:].strip(" ."):
            yield rest, ""


def flat(text: str) -> str:
    """In lower case, white space as single blanks."""
    return _SPACE.sub(" ", text).strip().lower()


def _reached(chunk: Chunk, shown: str) -> bool:
    return any(flat(sentence) in shown for sentence in sentences_of(chunk.text))


def _holds(text: str, answers: tuple[str, ...]) -> float | None:
    return float(any(flat(answer) in text for answer in answers)) if answers else None


def _share(each: Iterator[bool]) -> float:
    values = list(each)
    return sum(values) / len(values)
