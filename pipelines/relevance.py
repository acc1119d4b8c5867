"""How well sentences answer a question: the in-process prune stage's measure.

The constants were chosen on nq_gold train, by the share of gold answers among the best one to three sentences, and
checked on multihop_wiki dev, by the gold sentences kept in a tenth to a third of the tokens.
"""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pipelines.core.text import is_statement, terms
from pipelines.core.types import Hit, Passage

ENCODED = 16
"""Sentences that are embedded, chosen by words. More add less than half a point of answers and cost time linearly."""

RANK_WEIGHT = 0.2
FIRST_WEIGHT = 0.1
TYPE_WEIGHT = 0.2
COVERAGE_WEIGHT = 0.5
FRAGMENT_PENALTY = 0.4
"""For a label, a heading or `The following:`, which says nothing by itself though its title may fit well."""
DOCUMENT_WEIGHT = 0.3
"""For terms of the question that stand elsewhere in the document: a report names its subject once, at the top."""
PRESELECT_RANK_WEIGHT = 0.5
MAX_SCORE = 1 + RANK_WEIGHT + FIRST_WEIGHT + TYPE_WEIGHT + DOCUMENT_WEIGHT + COVERAGE_WEIGHT

_MONTH = "january|february|march|april|may|june|july|august|september|october|november|december"
_NUMBER_WORD = (
    "one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|twenty|thirty|forty|fifty|hundred|thousand|"
    "million|billion|once|twice"
)
_ASKS_WHEN = re.compile(r"\b(when|(what|which) (year|date|day|month|time))\b", re.IGNORECASE)
_ASKS_NUMBER = re.compile(
    r"\bhow (many|much|long|old|far|big|tall|high|large|often|fast|deep|wide)\b"
    r"|\b(what|which) (number|percentage|percent|age)\b|\bpopulation\b",
    re.IGNORECASE,
)
_ASKS_NAME = re.compile(
    r"\b(who|whom|whose|where|(what|which) (city|country|state|place|county|continent|river))\b", re.IGNORECASE
)
_DATE = re.compile(rf"\b\d{{3,4}}s?\b|\b({_MONTH})\b", re.IGNORECASE)
_NUMBER = re.compile(rf"\d|\b({_NUMBER_WORD})\b", re.IGNORECASE)
_WORD = re.compile(r"[^\W\d_][\w'’-]*")


@dataclass(frozen=True)
class Candidate:
    """A sentence that may be evidence.

    Attributes:
        rank: Of its passage in the retrieval, from 1.
        index: In `passage.sentences`.
        document_terms: Of all that was retrieved of its document.
    """

    passage: Passage
    rank: int
    index: int
    document_terms: frozenset[str] = frozenset()

    @cached_property
    def text(self) -> str:
        """The sentence under its nearest heading, as it is embedded: a pronoun's noun is often up there.

        A long path of headings would outweigh a short sentence.
        """
        heading = self.passage.section_path[-1] if self.passage.section_path else self.passage.title
        return f"{heading}: {self.passage.quote(self.passage.sentences[self.index])}"

    @cached_property
    def terms(self) -> frozenset[str]:
        """Its terms, those of its title and all its headings included."""
        return terms(self.passage.context) | terms(self.passage.quote(self.passage.sentences[self.index]))


def list_candidates(hits: Sequence[Hit]) -> list[Candidate]:
    """The sentences of the hits, in order."""
    documents: dict[str, frozenset[str]] = defaultdict(frozenset)
    for hit in hits:
        documents[hit.passage.document_id] |= terms(hit.passage.context) | terms(hit.passage.text)
    return [
        Candidate(hit.passage, rank, index, documents[hit.passage.document_id])
        for rank, hit in enumerate(hits, 1)
        for index in range(len(hit.passage.sentences))
    ]


class Relevance:
    """Scores candidates for one question: first by words, then the most promising by their vectors as well."""

    def __init__(self, question: str, candidates: Sequence[Candidate]) -> None:
        self._question = question
        self._candidates = candidates
        self._weights = term_weights(terms(question), [candidate.terms for candidate in candidates])
        self._prior = [self._prior_of(candidate) for candidate in candidates]

    def to_encode(self) -> list[int]:
        """Which candidates to embed, at most `ENCODED`: the best by rank of passage and words."""
        lexical = [
            PRESELECT_RANK_WEIGHT / candidate.rank
            + COVERAGE_WEIGHT * coverage(self._weights, candidate.terms)
            + self._prior[at]
            - RANK_WEIGHT / candidate.rank
            for at, candidate in enumerate(self._candidates)
        ]
        return sorted(range(len(lexical)), key=lambda at: (-lexical[at], at))[:ENCODED]

    def scores(self, cosine: Mapping[int, float]) -> NDArray[np.float32]:
        """One score a candidate, 0 to 1, higher is better.

        Those with a cosine are picked one after the other: each pick counts the question's terms that no earlier one
        held. The others follow them, in the order of their words.

        Args:
            cosine: Of the question with the embedded candidates, by their place.
        """
        scores = np.zeros(len(self._candidates), np.float32)
        open_terms = dict(self._weights)
        total = sum(open_terms.values()) or 1.0
        left = dict(cosine)
        while left:
            gain = {at: self._gain(open_terms, at) / total for at in left}
            best = max(left, key=lambda at: (left[at] + self._prior[at] + COVERAGE_WEIGHT * gain[at], -at))
            value = max(0.0, left.pop(best)) + self._prior[best] + COVERAGE_WEIGHT * gain[best]
            scores[best] = max(0.0, value) / MAX_SCORE
            for term in self._candidates[best].terms & open_terms.keys():
                del open_terms[term]
        floor = min((float(scores[at]) for at in cosine), default=1.0)
        for at, candidate in enumerate(self._candidates):
            if at not in cosine:
                words = self._prior[at] + COVERAGE_WEIGHT * coverage(self._weights, candidate.terms)
                scores[at] = floor * max(0.0, words) / MAX_SCORE
        return scores

    def _gain(self, open_terms: Mapping[str, float], at: int) -> float:
        return sum(open_terms[term] for term in self._candidates[at].terms & open_terms.keys())

    def _prior_of(self, candidate: Candidate) -> float:
        sentence = candidate.passage.quote(candidate.passage.sentences[candidate.index])
        return (
            RANK_WEIGHT / candidate.rank
            + FIRST_WEIGHT * (candidate.index == 0)
            + TYPE_WEIGHT * type_match(self._question, sentence)
            + DOCUMENT_WEIGHT * coverage(self._weights, candidate.document_terms - candidate.terms)
            - FRAGMENT_PENALTY * (not is_statement(sentence))
        )


def term_weights(asked: Collection[str], bags: Sequence[Collection[str]]) -> dict[str, float]:
    """What each asked term weighs: its inverse frequency among the bags. A term that none holds weighs most.

    Source: Robertson and Zaragoza, "The Probabilistic Relevance Framework" (2009), section 3.1, kept above zero as
    Lucene does.
    """
    held = Counter(term for bag in bags for term in bag if term in asked)
    return {term: math.log((len(bags) - held[term] + 0.5) / (held[term] + 0.5) + 1) for term in sorted(asked)}


def coverage(weights: Mapping[str, float], held: Iterable[str]) -> float:
    """The share of the asked terms' weight that a text holds, 0 to 1."""
    total = sum(weights.values())
    return sum(weights.get(term, 0.0) for term in held) / total if total else 0.0


def type_match(question: str, sentence: str) -> float:
    """1 where a sentence holds what the question asks for (a date, a number, a name), 0 where not, 0.5 for others."""
    if _ASKS_WHEN.search(question):
        return float(bool(_DATE.search(sentence)))
    if _ASKS_NUMBER.search(question):
        return float(bool(_NUMBER.search(sentence)))
    if _ASKS_NAME.search(question):
        known = {word.casefold() for word in _WORD.findall(question)}
        words = _WORD.findall(sentence)[1:]  # the first word is capitalised whatever it is
        return float(any(word[0].isupper() and word.casefold() not in known for word in words))
    return 0.5
