"""What the head `resolve` learns from: human rewrites of conversations, and conversations that are made."""

import random
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from pipelines.core.text import content_words, terms
from services.evaluation.data.rows import CorpusDocument, QueryRow, RewriteRow, read
from services.training.examples import Example
from services.training.resolve.conversations import Asked, Topic, find_thing, labelled

CAST = "cast_rewrite"
_QUESTION = re.compile(
    r"(?:^|[.!?\n*]\s*)((?:How|What|When|Where|Which|Who|Why|Can|Could|Do|Does|Is|Are|Should|Will|If)\b[^.!?\n\[\]]{12,120}\?)"
)
_NEAR = 3
"""Fewest content words of a question that may stand alone."""
_POINTING = re.compile(r"\b(it|its|they|them|their|this|that|these|those|he|she|his|her)\b", re.IGNORECASE)


def cast_examples(data: Path, split: str = "train") -> Iterator[Example]:
    """Questions of TREC CAsT; a word is needed where it stands in the human rewrite and not in the question.

    The group is the conversation.

    Raises:
        InvalidRequestError: the file is missing or malformed.
    """
    for row in read(data / CAST / split / "rewrite.jsonl.gz", RewriteRow):
        turns = [turn.text for turn in row.history if turn.role == "user"]
        topic = row.id.partition("_")[0]
        if example := labelled(row.question, turns, terms(row.rewrite), group=topic, source=CAST):
            yield example


def topics(data: Path, seed: int) -> list[Topic]:
    """Questions that stand alone, by what they are about: of nq_gold train, and as they stand in the corpora.

    Raises:
        InvalidRequestError: a file is missing or malformed.
    """
    rng = random.Random(seed)  # noqa: S311  # not for security
    grouped: dict[str, list[Asked]] = defaultdict(list)
    for name, text, title in (*_search_questions(data), *_corpus_questions(data)):
        if asked := find_thing(text, rng, title):
            grouped[name].append(asked)
    return [Topic(name, tuple(dict.fromkeys(asked))) for name, asked in grouped.items()]


def _search_questions(data: Path) -> Iterator[tuple[str, str, str]]:
    """Topic, question, title."""
    titles = {row.id: row.title for row in read(data / "nq_gold" / "shared" / "corpus.jsonl.gz", CorpusDocument)}
    for query in read(data / "nq_gold" / "train" / "queries.jsonl.gz", QueryRow):
        title = titles.get(query.gold[0].doc_id or "", "") if query.gold else ""
        yield f"nq_gold/{title}", query.question, title


def _corpus_questions(data: Path) -> Iterator[tuple[str, str, str]]:
    """Questions in the documents of mtrag's corpus that have no title: manuals and posts."""
    for document in read(data / "mtrag" / "shared" / "corpus.jsonl.gz", CorpusDocument):
        if document.title:
            continue
        for text in _QUESTION.findall(document.text):
            if len(content_words(text)) >= _NEAR and not _POINTING.search(text):
                yield document.id.partition("-")[0], " ".join(text.split()), ""
