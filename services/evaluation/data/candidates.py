"""Questions with the passages that their evidence is to be chosen from, and the sentences that people chose."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from pipelines.core.encoders import Encoder
from pipelines.core.sentences import sentence_spans
from pipelines.core.types import Hit, Passage, Sentence
from services.evaluation.baselines import Bm25, reciprocal_ranks
from services.evaluation.context import Context
from services.evaluation.data.rows import CorpusDocument
from services.evaluation.data.sets import Item

Vector = NDArray[np.float32]

DISTRACTORS = 9
"""Passages beside the one that a question comes with: those of its corpus that BM25 ranks highest."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """One question's passages.

    Attributes:
        passages: In an order that tells nothing of the gold.
        hits: The same as the retrieve stage would hand them over: by reciprocal ranks of BM25 and cosine.
        gold: Passage id and place of each gold sentence.
        cosine, bm25: Of the question with the passage that is best by it.
    """

    item: Item
    passages: tuple[Passage, ...]
    hits: tuple[Hit, ...]
    gold: frozenset[tuple[str, int]]
    cosine: float
    bm25: float


def list_candidates(context: Context, items: Sequence[Item]) -> list[Candidates]:
    """The candidates of each question, ranked; where each comes with one, beside distractors. Embeds all passages."""
    corpus = {document.id: document for document in context.evaluated.corpus()}
    ids = (
        _with_distractors(items, corpus) if context.evaluated.name == "clapnq" else [item.candidates for item in items]
    )
    chosen = {each: passage_of(corpus[each]) for of_item in ids for each in of_item}
    vectors = _vectors(context.runtime.encoder, items, chosen.values())
    return [
        _ranked(item, [chosen[each] for each in of_item], vectors) for item, of_item in zip(items, ids, strict=True)
    ]


def passage_of(document: CorpusDocument) -> Passage:
    """A document of a corpus as one passage; its sentences are the set's own where it names them."""
    pieces = document.sentences or tuple(document.text[start:end] for start, end in sentence_spans(document.text))
    ends = np.cumsum([0, *(len(piece) + 1 for piece in pieces)]).tolist()
    text = " ".join(pieces)
    return Passage(
        id=document.id,
        document_id=document.id,
        version="",
        section_id=document.id,
        title=document.title,
        source=document.id,
        start=0,
        end=len(text),
        text=text,
        sentences=tuple(Sentence(start=start, end=end - 1) for start, end in pairwise(ends)),
    )


def embedded_text(passage: Passage) -> str:
    """A passage as the document path embeds it."""
    return f"{passage.context}\n{passage.text}"


def _with_distractors(items: Sequence[Item], corpus: Mapping[str, CorpusDocument]) -> list[tuple[str, ...]]:
    names = list(corpus)
    ranking = Bm25([f"{document.title}\n{document.text}" for document in corpus.values()])
    chosen = []
    for item in items:
        order = np.argsort(-ranking.scores(item.question), kind="stable")
        others = [names[at] for at in order[: DISTRACTORS + len(item.candidates)] if names[at] not in item.candidates]
        chosen.append(tuple(sorted((*item.candidates, *others[:DISTRACTORS]))))  # ids are digests
    return chosen


def _vectors(encoder: Encoder, items: Iterable[Item], passages: Iterable[Passage]) -> dict[str, Vector]:
    """Unit vectors, by the text that was embedded."""
    texts = [*(item.question for item in items), *(embedded_text(passage) for passage in passages)]
    return dict(zip(texts, encoder.embed(texts).vectors, strict=True))


def _ranked(item: Item, passages: Sequence[Passage], vectors: Mapping[str, Vector]) -> Candidates:
    texts = [embedded_text(passage) for passage in passages]
    cosine = np.array([vectors[text] @ vectors[item.question] for text in texts], np.float64)
    bm25 = Bm25(texts).scores(item.question)
    fused = reciprocal_ranks(cosine) + reciprocal_ranks(bm25)
    gold = {(gold.doc_id, sentence) for gold in item.evidence if gold.doc_id for sentence in gold.sent_ids or ()}
    return Candidates(
        item=item,
        passages=tuple(passages),
        hits=tuple(Hit(passage=passages[at], score=float(fused[at])) for at in np.argsort(-fused, kind="stable")),
        gold=frozenset(gold),
        cosine=float(cosine.max()),
        bm25=float(bm25.max()),
    )
