"""What the head `evidence` says of hits, put together with what words, vectors and ranks say.

The head reads the question with one passage. That a passage tells of what another one names, it cannot see: such links
between passages are looked up afterwards, from what it thinks of the sentence that names the title.
"""

import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.core.encoders import Head, Pair
from pipelines.core.odds import sigmoid
from pipelines.core.text import terms
from pipelines.core.types import Hit, Usage

Matrix = NDArray[np.float64]

SENTENCE_FEATURES = ("bias", "sentence", "passage", "words", "first", "titled", "linked")
"""What a sentence's probability is made of: its logit, its passage's, its score by words and vectors, whether it is the
first, whether the question names its title; the probability of the best sentence elsewhere that names its title, as far
as the question does not: a link tells where to go on, not where the question began."""
PASSAGE_FEATURES = ("bias", "passage", "best", "words", "fused", "rank")
"""What a passage's probability is made of: its logit, the highest of its sentences', their highest score by words and
vectors, its score in the retrieval as a share of the best one's, one over its rank."""
KEEP = "keep"
"""Calibration: the probability from which a sentence is kept."""
MIN_PROBABILITY = 0.05
"""The same for a head that was not calibrated."""
MIN_TITLE_CHARS = 4
"""Shorter titles are named by chance."""

_NOTE = re.compile(r"\s*\([^)]*\)$")


@dataclass(frozen=True, slots=True)
class Reading:
    """Probabilities, 0 to 1, that hits help to answer.

    Attributes:
        passages: One a hit.
        sentences: For each hit one a sentence.
        logits: What the head itself gave.
    """

    passages: tuple[float, ...]
    sentences: tuple[tuple[float, ...], ...]
    logits: "Logits"
    usage: Usage


def read_hits(
    head: Head, question: str, hits: Sequence[Hit], words: Sequence[Sequence[float]], chosen: Sequence[int]
) -> Reading:
    """Reads the question with the chosen hits, all of them in one call of the head.

    Args:
        hits: All that were found: what the retrieval thinks of one shows beside the others.
        words: For each hit its sentences' scores by words and vectors, 0 to 1.
        chosen: Places of the hits to read, ascending.
    """
    found, said = [hits[at] for at in chosen], [words[at] for at in chosen]
    scores = head.score([evidence_pair(question, hit) for hit in found])
    weights = head.spec.calibration
    logits = Logits(scores.pairs[:, 0], tuple(each[:, 0] for each in scores.spans))
    first = sentence_features(question, found, logits, said, linked=None)
    alone = probability(first, weighted(weights, "alone", SENTENCE_FEATURES))
    both = sentence_features(question, found, logits, said, linked=links(found, by_hit(alone, found)))
    sentences = by_hit(probability(both, weighted(weights, "sentence", SENTENCE_FEATURES)), found)
    retrieved = passage_features(hits, chosen, logits, said)
    passages = probability(retrieved, weighted(weights, "passage", PASSAGE_FEATURES))
    return Reading(tuple(passages.tolist()), tuple(tuple(each.tolist()) for each in sentences), logits, scores.usage)


@dataclass(frozen=True, slots=True)
class Logits:
    """What the head gave: one a hit, and for each hit one a sentence."""

    passages: NDArray[np.float32]
    sentences: tuple[NDArray[np.float32], ...]


def evidence_pair(question: str, hit: Hit) -> Pair:
    """What the head reads of a hit."""
    passage = hit.passage
    spans = tuple((each.start - passage.start, each.end - passage.start) for each in passage.sentences)
    return Pair(question, passage.text, passage.context, spans)


def sentence_features(
    question: str,
    hits: Sequence[Hit],
    logits: Logits,
    words: Sequence[Sequence[float]],
    *,
    linked: Sequence[float] | None,
) -> Matrix:
    """`SENTENCE_FEATURES` of all sentences of all hits, `(n, 7)`.

    Args:
        linked: Of each hit; see `links`. `None` for none.
    """
    rows = []
    asked = terms(question)
    for at, hit in enumerate(hits):
        title = bare_title(hit.passage.title)
        titled = float(_names(question, title))
        link = linked[at] * _left_unsaid(asked, title) if linked is not None else 0.0
        for index in range(len(hit.passage.sentences)):
            first = float(index == 0)
            rows.append((1.0, logits.sentences[at][index], logits.passages[at], words[at][index], first, titled, link))
    return np.array(rows, np.float64).reshape(-1, len(SENTENCE_FEATURES))


def passage_features(
    hits: Sequence[Hit], chosen: Sequence[int], logits: Logits, words: Sequence[Sequence[float]]
) -> Matrix:
    """`PASSAGE_FEATURES` of the chosen ones of all hits, `(n, 6)`; logits and words are of these."""
    shares = retrieval_shares(hits)
    rows = [
        (
            1.0,
            logits.passages[at],
            max(logits.sentences[at].tolist(), default=logits.passages[at]),
            max(words[at], default=0.0),
            shares[place],
            1.0 / (place + 1),
        )
        for at, place in enumerate(chosen)
    ]
    return np.array(rows, np.float64).reshape(-1, len(PASSAGE_FEATURES))


def retrieval_shares(hits: Sequence[Hit]) -> list[float]:
    """Each hit's score in the retrieval as a share of the best one's."""
    top = max((hit.score for hit in hits), default=0.0)
    return [hit.score / top if top > 0 else 0.0 for hit in hits]


def links(hits: Sequence[Hit], probabilities: Sequence[Matrix]) -> list[float]:
    """For each hit the highest probability of a sentence of another document that names its title."""
    best = [0.0] * len(hits)
    titles = [bare_title(hit.passage.title) for hit in hits]
    for hit, each in zip(hits, probabilities, strict=True):
        for sentence, probability in zip(hit.passage.sentences, each.tolist(), strict=True):
            text = hit.passage.quote(sentence)
            for at, title in enumerate(titles):
                other = hits[at].passage.document_id != hit.passage.document_id
                if other and probability > best[at] and _names(text, title):
                    best[at] = probability
    return best


def bare_title(title: str) -> str:
    """Without what tells it from others of the same name: `Empire (2002 film)`."""
    return _NOTE.sub("", title)


def _left_unsaid(asked: Set[str], title: str) -> float:
    """The share of a title's terms that a question lacks; of one without terms, all."""
    named = terms(title)
    return 1.0 - len(named & asked) / len(named) if named else 1.0


def _names(text: str, title: str) -> bool:
    if len(title) < MIN_TITLE_CHARS or title not in text:
        return False
    return re.search(rf"(?<!\w){re.escape(title)}(?!\w)", text) is not None


def weighted(calibration: Mapping[str, float], part: str, names: Sequence[str]) -> Matrix:
    """The weights of a part's features; where a head has none, its own logit alone counts."""
    found = [calibration.get(f"{part}.{name}") for name in names]
    if all(each is None for each in found):
        own = "passage" if part == "passage" else "sentence"
        return np.array([float(name == own) for name in names])
    return np.array([each or 0.0 for each in found])


def probability(features: Matrix, weights: Matrix) -> Matrix:
    """What weighed features come to, 0 to 1: one a row."""
    return sigmoid(features @ weights)


def by_hit(values: Matrix, hits: Sequence[Hit]) -> list[Matrix]:
    """Values of all sentences of all hits, hit by hit."""
    return np.split(values, np.cumsum([len(hit.passage.sentences) for hit in hits])[:-1])
