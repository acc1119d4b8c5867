"""What people asked and claimed, and where the answer stands: nq_gold, fm2, cast_rewrite."""

import random
from collections.abc import Iterator
from pathlib import Path

from pipelines.core.text import fold, terms
from services.evaluation.data.rows import CorpusDocument, GroundingRow, QueryRow, RewriteRow, read
from services.training.evidence.near_miss import Asked
from services.training.examples import Example
from services.training.texts import Text

MIN_SHARED = 0.3
"""Share of a rewrite's terms that a system's reply must hold to count as its answer."""


def search_questions(data: Path) -> Iterator[Asked]:
    """nq_gold: the sentences that hold an answer are the evidence.

    Raises:
        InvalidRequestError: a file is missing or malformed.
    """
    folder = data / "nq_gold"
    texts = {each.id: Text.of_document(each) for each in read(folder / "shared" / "corpus.jsonl.gz", CorpusDocument)}
    for number, query in enumerate(read(folder / "train" / "queries.jsonl.gz", QueryRow)):
        gold = texts[query.gold[0].doc_id or ""]
        good = tuple(at for at, sentence in enumerate(gold.sentences) if _holds(sentence, query.answers))
        group = f"nq-{number}-{gold.id}"
        yield Asked(query.question, gold, good or None, "nq_gold", query.answers, group=group)


def _holds(text: str, answers: tuple[str, ...]) -> bool:
    return any(fold(answer) in fold(text) for answer in answers if answer.strip())


def claims(data: Path, chance: random.Random) -> Iterator[Example]:
    """fm2: the sentences that decide a claim, among others of the same page in one passage.

    Raises:
        InvalidRequestError: a file is missing or malformed.
    """
    for row in read(data / "fm2" / "train" / "grounding.jsonl.gz", GroundingRow):
        some = chance.sample(row.candidates, len(row.candidates))
        some = sorted(some, key=lambda each: not each.gold)[:7]
        chance.shuffle(some)
        text = " ".join(each.text.strip() for each in some)
        spans, at = [], 0
        for each in some:
            spans.append((at, at + len(each.text.strip())))
            at += len(each.text.strip()) + 1
        page = Text(row.id, row.page.replace("_", " "), text, tuple(spans))
        good = [number for number, each in enumerate(some) if each.gold]
        if good:
            yield page.example(row.claim_or_response, group=row.id, source="fm2", label=None, good=good)


def conversations(data: Path) -> Iterator[Asked]:
    """cast_rewrite of 2022: what the system replied to a question, where it is about what the rewrite asks.

    Raises:
        InvalidRequestError: a file is missing or malformed.
    """
    rows = list(read(data / "cast_rewrite" / "train" / "rewrite.jsonl.gz", RewriteRow))
    rewrites = {fold(row.question): row.rewrite for row in rows}
    seen = set()
    for row in rows:
        for turn, reply in zip(row.history, row.history[1:], strict=False):
            rewrite = rewrites.get(fold(turn.text))
            if turn.role != "user" or reply.role != "assistant" or rewrite is None or reply.text in seen:
                continue
            asked = terms(rewrite)
            if len(asked & terms(reply.text)) < MIN_SHARED * len(asked):
                continue
            seen.add(reply.text)
            document = CorpusDocument(id=row.id, text=reply.text)
            yield Asked(rewrite, Text.of_document(document), None, "cast_rewrite", weight=0.7)
