"""Held-out questions with their hits, as the prune stage gets them."""

import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from pipelines.core.encoders import Encoder, Head
from pipelines.core.settings import PruneSettings
from pipelines.core.tasks import PruneTask
from pipelines.core.text import fold
from pipelines.core.types import Hit, Passage
from pipelines.prune import EncoderPruner
from pipelines.resolve import needed_words, user_turns
from services.evaluation.baselines import Bm25, reciprocal_ranks
from services.evaluation.data.candidates import embedded_text, passage_of
from services.evaluation.data.rows import CorpusDocument, QueryRow, RewriteRow, read
from services.training.evidence.calibration import Case
from services.training.evidence.hotpot import SOURCE
from services.training.evidence.library import Library
from services.training.evidence.real import search_questions
from services.training.texts import Text

FORGOTTEN = 0.4
TOP_K = 20
"""Hits of a question: what the retrieve stage hands on unless it is configured."""
REPLY_TOP_K = 30
"""Hits of a conversation's question: as many as are reranked in evaluation."""
OTHERS = 2500
"""Passages that replies are found among."""


def multi_hop_cases(encoder: Encoder, data: Path, keep: Callable[[str], bool]) -> list[Case]:
    """HotpotQA: ten paragraphs each, in the order of words and vectors."""
    folder = data / "multihop_wiki"
    corpus = {each.id: each for each in read(folder / "shared" / "corpus.jsonl.gz", CorpusDocument)}
    pruner = EncoderPruner(encoder, PruneSettings())
    cases = []
    for query in read(folder / "train" / "queries.jsonl.gz", QueryRow):
        if not (query.source or "").startswith(SOURCE) or not keep(query.id):
            continue
        hits = _ranked(encoder, query.question, [passage_of(corpus[each]) for each in query.candidates])
        gold = {(each.doc_id, at) for each in query.gold for at in each.sent_ids or ()}
        good = tuple(tuple((hit.passage.id, at) in gold for at in range(len(hit.passage.sentences))) for hit in hits)
        cases.append(
            Case(query.question, hits, _words(pruner, query.question, hits), good, tuple(any(each) for each in good))
        )
    return cases


def search_cases(
    encoder: Encoder, data: Path, keep: Callable[[str], bool], forget: random.Random | None = None
) -> list[Case]:
    """nq_gold: what is found in its corpus; the sentences that hold an answer are good.

    Args:
        forget: Drops a share `FORGOTTEN` of the question's words, so that what is found first is not always right.
    """
    folder = data / "nq_gold"
    documents = {each.id: each for each in read(folder / "shared" / "corpus.jsonl.gz", CorpusDocument)}
    library = Library([Text.of_document(each) for each in documents.values()], encoder)
    pruner = EncoderPruner(encoder, PruneSettings())
    cases = []
    for asked in search_questions(data):
        if not keep(asked.group):
            continue
        question = _forgetting(asked.question, forget) if forget else asked.question
        found = library.find(question, TOP_K)
        hits = tuple(Hit(passage=passage_of(documents[text.id]), score=score) for text, score in found)
        good_passages = tuple(hit.passage.id == asked.gold.id for hit in hits)
        if any(good_passages):
            good = tuple(_good(hit, good, asked.answers) for hit, good in zip(hits, good_passages, strict=True))
            known = good if any(map(any, good)) else None
            cases.append(Case(question, hits, _words(pruner, question, hits), known, good_passages))
    return cases


def conversation_cases(encoder: Encoder, resolve: Head, data: Path, seed: int) -> list[Case]:
    """CAsT 2022: what the system replied to a question, among all its replies and Wikipedia's passages of MTRAG.

    Questions are searched for as the head `resolve` makes them stand alone. Those whose reply is not found are left
    out: nothing is learned of a ranking without it.

    Raises:
        InvalidRequestError: a file is missing or malformed.
    """
    replied = list(_replies(data))
    replies = dict.fromkeys(reply for _, _, reply in replied)
    own = [CorpusDocument(id=f"reply-{number}", text=reply) for number, reply in enumerate(replies)]
    others = [row for row in read(data / "mtrag" / "shared" / "corpus.jsonl.gz", CorpusDocument) if row.title]
    chance = random.Random(seed)  # noqa: S311  # no secret
    documents = {each.id: each for each in [*own, *chance.sample(others, min(OTHERS, len(others)))]}
    library = Library([Text.of_document(each) for each in documents.values()], encoder)
    pruner = EncoderPruner(encoder, PruneSettings())
    cases = []
    for question, turns, reply in replied:
        standalone = " ".join((question, *needed_words(resolve, question, turns).words))
        found = library.find(standalone, REPLY_TOP_K)
        hits = tuple(Hit(passage=passage_of(documents[text.id]), score=score) for text, score in found)
        good = tuple(text.text == reply for text, _ in found)
        if any(good):
            cases.append(Case(standalone, hits, _words(pruner, standalone, hits), None, good))
    return cases


def _replies(data: Path) -> Iterator[tuple[str, list[str], str]]:
    """Question, the user's earlier turns, and the system's reply, as a later turn of the same conversation shows it."""
    rows = list(read(data / "cast_rewrite" / "train" / "rewrite.jsonl.gz", RewriteRow))
    said = {
        tuple(turn.text for turn in row.history[:end]): reply.text
        for row in rows
        for end, reply in enumerate(row.history)
        if reply.role == "assistant"
    }
    for row in rows:
        if reply := said.get((*(turn.text for turn in row.history), row.question)):
            yield row.question, user_turns(row.history), reply


def _forgetting(question: str, chance: random.Random) -> str:
    return " ".join(word for word in question.split() if chance.random() > FORGOTTEN) or question


def _ranked(encoder: Encoder, question: str, passages: Sequence[Passage]) -> tuple[Hit, ...]:
    """By reciprocal ranks of words and vectors, as retrieved."""
    texts = [embedded_text(each) for each in passages]
    vectors = encoder.embed([question, *texts]).vectors
    cosine = (vectors[1:] @ vectors[0]).astype(np.float64)
    fused = reciprocal_ranks(cosine) + reciprocal_ranks(Bm25(texts).scores(question))
    return tuple(Hit(passage=passages[at], score=float(fused[at])) for at in np.argsort(-fused, kind="stable"))


def _good(hit: Hit, good: bool, answers: Sequence[str]) -> tuple[bool, ...]:
    texts = [fold(hit.passage.quote(sentence)) for sentence in hit.passage.sentences]
    return tuple(good and any(fold(answer) in text for answer in answers) for text in texts)


def _words(pruner: EncoderPruner, question: str, hits: Sequence[Hit]) -> tuple[tuple[float, ...], ...]:
    task = PruneTask(question=question, asked=question, hits=tuple(hits), timeout_s=60.0)
    return tuple(scored.scores for scored in pruner.score(task).hits)
