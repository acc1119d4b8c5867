"""What the encoder's precision costs in retrieval: float32 beside the one that the settings choose.

Exact search by cosine over the passages of the whole corpus, nothing else in the ranking, so that the two differ by the
vectors alone. Each question is asked as it stands; those of mtrag within their domain.
"""

import hashlib
import json
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from indexing.split import DocumentFacts, Splitter
from pipelines.core.encoders import Encoder
from pipelines.core.settings import EncoderSettings, SplitSettings
from services.evaluation.data.rows import CorpusDocument
from services.evaluation.data.sets import EvaluationSet, Item
from services.evaluation.metrics import ndcg
from services.evaluation.statistics import mean, paired_interval

K = 5
CHUNK = 4096
"""Passages whose vectors are kept together: a run that is killed goes on from there."""


@dataclass(frozen=True, slots=True)
class Lost:
    """What the chosen precision changes on one set: nDCG@5 of either, their difference with its interval."""

    name: str
    n: int
    passages: int
    float32: float
    chosen: float
    difference: float
    interval: tuple[float, float]


@dataclass(frozen=True, slots=True)
class _Corpus:
    """Passages of a set: their document and its filter values, and their texts as they are embedded."""

    documents: list[str]
    metas: list[dict[str, Any]]
    texts: list[str]


def lost(
    evaluated: EvaluationSet, chosen: EncoderSettings, work_dir: Path, seed: int, *, documents: int | None = None
) -> Lost:
    """Measures one set. Vectors are kept in `work_dir` and taken up again.

    Args:
        documents: Of those that no question asks for, only so many, drawn by `seed`; without it all.
    """
    corpus = _passages(_documents(evaluated, documents, seed))
    plain = chosen.model_copy(update={"precision": "float32"})
    gains = [_gains(evaluated, corpus, settings, work_dir) for settings in (plain, chosen)]
    paired = paired_interval(gains[1], gains[0], seed)
    return Lost(evaluated.name, len(gains[0]), len(corpus.texts), *map(mean, gains), paired.difference, paired.interval)


def _documents(evaluated: EvaluationSet, limit: int | None, seed: int) -> list[CorpusDocument]:
    documents = list(evaluated.corpus())
    if limit is None:
        return documents
    gold = {each for item in evaluated.items for each in item.gold}
    others = [document for document in documents if document.id not in gold]
    drawn = random.Random(seed).sample(others, min(limit, len(others)))
    return [document for document in documents if document.id in gold] + drawn


def _passages(documents: Iterable[CorpusDocument]) -> _Corpus:
    splitter = Splitter(SplitSettings())
    corpus = _Corpus([], [], [])
    for document in documents:
        facts = DocumentFacts(document.id, "0" * 16, document.title, document.id)
        for passage in splitter.split((document.text,), facts):
            corpus.documents.append(document.id)
            corpus.metas.append(dict(document.meta))
            corpus.texts.append(f"{passage.context}\n{passage.text}")
    return corpus


def _gains(evaluated: EvaluationSet, corpus: _Corpus, settings: EncoderSettings, work_dir: Path) -> list[float]:
    encoder = Encoder(settings)
    texts = hashlib.sha256("\n".join(corpus.texts).encode()).hexdigest()[:12]
    folder = work_dir / f"vectors-{evaluated.name}-{encoder.how.replace(' ', '-')}-{texts}"
    vectors = np.concatenate(list(_vectors(corpus.texts, encoder, folder)))
    questions = encoder.embed([item.question for item in evaluated.items]).vectors
    return [
        ndcg(_nearest(vector @ vectors.T, corpus, item), item.gold, K)
        for vector, item in zip(questions, evaluated.items, strict=True)
    ]


def _vectors(texts: Sequence[str], encoder: Encoder, folder: Path) -> Iterator[np.ndarray]:
    folder.mkdir(parents=True, exist_ok=True)
    for first in range(0, len(texts), CHUNK):
        path = folder / f"{first}.npy"
        if not path.exists():
            np.save(path.with_suffix(".partial.npy"), encoder.embed(texts[first : first + CHUNK]).vectors)
            path.with_suffix(".partial.npy").rename(path)
        yield np.load(path)


def _nearest(scores: np.ndarray, corpus: _Corpus, item: Item) -> list[str]:
    """The documents of the best passages, best first, distinct."""
    found: dict[str, None] = {}
    for place in np.argsort(-scores):
        if item.filter.items() <= corpus.metas[place].items():
            found[corpus.documents[place]] = None
        if len(found) == K:
            break
    return list(found)


def table(results: Sequence[Lost]) -> str:
    """The results as lines."""
    lines = [f"{'set':10}{'questions':>10}{'passages':>10}{'float32':>9}{'chosen':>9}   difference, 95 % interval"]
    for each in results:
        low, high = each.interval
        lines.append(
            f"{each.name:10}{each.n:10,}{each.passages:10,}{each.float32:9.4f}{each.chosen:9.4f}"
            f"   {each.difference:+.4f} [{low:+.4f}, {high:+.4f}]"
        )
    return "\n".join(lines)


def as_json(results: Sequence[Lost]) -> list[dict[str, Any]]:
    """The results as plain values."""
    return json.loads(json.dumps([asdict(each) for each in results]))  # type: ignore[no-any-return]
