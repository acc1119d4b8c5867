"""Which words of earlier turns a question needs: the reading of the head `resolve`.

Source: Voskarides et al., "Query Resolution for Conversational Search with Limited Supervision" (SIGIR 2020). It tags
the terms of earlier turns that the question lacks, and appends them to it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.core.encoders import Head, Pair
from pipelines.core.odds import sigmoid
from pipelines.core.text import content_spans, term_of, terms
from pipelines.core.types import Turn, Usage

BETWEEN = " | "
"""Stands between turns."""
MAX_TURNS = 8
"""Turns that are read, the last ones: what a question leans on is seldom further back, and time grows with them."""
MAX_TURN_CHARS = 400
NEEDED = "needed"
"""Calibration: lowest probability of a word that is added."""
MAX_WORDS = 24
"""Words that are added to a question."""


@dataclass(frozen=True, slots=True)
class NeededWords:
    """Words of earlier turns, as they stand there, in the order in which they were said."""

    words: tuple[str, ...]
    usage: Usage


def user_turns(history: Sequence[Turn]) -> list[str]:
    """What the user said before, oldest first."""
    return [turn.text for turn in history if turn.role == "user" and turn.text.strip()]


def resolve_pair(question: str, turns: Sequence[str]) -> Pair:
    """The question with the user's earlier turns, newest first; the spans are their content words.

    Args:
        turns: Oldest first.
    """
    second = BETWEEN.join(" ".join(turn.split())[:MAX_TURN_CHARS] for turn in reversed(turns[-MAX_TURNS:]))
    return Pair(first=question, second=second, spans=content_spans(second))


def needed_words(head: Head, question: str, turns: Sequence[str]) -> NeededWords:
    """The words that the head finds needed and that the question lacks.

    A word that stands in several turns counts by its highest probability.

    Args:
        turns: The user's earlier ones, oldest first.
    """
    pair = resolve_pair(question, turns)
    if not pair.spans:
        return NeededWords((), Usage())
    scores = head.score([pair])
    probabilities = sigmoid(scores.spans[0][:, 0]).tolist()
    return NeededWords(
        chosen_words(question, pair, probabilities, head.spec.calibration.get(NEEDED, 0.5)), scores.usage
    )


def chosen_words(question: str, pair: Pair, probabilities: Sequence[float], threshold: float) -> tuple[str, ...]:
    """The words of a pair's second text to add to a question, each once, in the order in which they were said.

    Args:
        probabilities: That a span's word is needed, one a span.
    """
    asked = terms(question)
    best: dict[str, tuple[float, int]] = {}
    for (start, end), probability in zip(pair.spans, probabilities, strict=True):
        term = term_of(pair.second[start:end])
        if term not in asked and probability >= best.get(term, (threshold, 0))[0]:
            best[term] = (probability, start)
    likeliest = {start for _, start in sorted(best.values(), reverse=True)[:MAX_WORDS]}
    chosen = [(start, end) for start, end in pair.spans if start in likeliest]
    chosen.sort(key=lambda span: (-pair.second.count(BETWEEN, 0, span[0]), span[0]))
    return tuple(pair.second[start:end] for start, end in chosen)
