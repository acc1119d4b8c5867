"""The questions, and the part of the corpus that they are asked over."""

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.peers.systems.base import Chunk

SETS = {"nq_gold": "", "multihop_wiki": "hotpotqa"}
"""Set → what the source of a question must begin with."""


@dataclass(frozen=True)
class Question:
    """A question of a set.

    Attributes:
        gold: Ids of the passages that answer it.
        quotes: Gold sentences, where the set has them.
        answers: Short gold answers, any of which will do; none where the answer is yes or no.
    """

    id: str
    text: str
    gold: tuple[str, ...]
    quotes: tuple[str, ...]
    answers: tuple[str, ...]


@dataclass(frozen=True)
class Task:
    """Questions and the chunks that they are asked over."""

    name: str
    split: str
    questions: tuple[Question, ...]
    chunks: tuple[Chunk, ...]


def load(name: str, data: Path, split: str, questions: int, documents: int) -> Task:
    """The first questions of a split, over so many documents of the corpus.

    The documents are those that answer, those that the set itself names as distractors, then the others in the file's
    order.

    Raises:
        FileNotFoundError: a file of the set is missing.
    """
    rows = [row for row in _rows(data / name / split / "queries.jsonl.gz") if _wanted(name, row)][:questions]
    needed = {each["doc_id"] for row in rows for each in row["gold"]} | {
        each for row in rows for each in row.get("candidates", ())
    }
    corpus = [
        Chunk(row["id"], row.get("title", ""), row["text"]) for row in _rows(data / name / "shared/corpus.jsonl.gz")
    ]
    others = [chunk.id for chunk in corpus if chunk.id not in needed]
    taken = needed | set(others[: max(0, documents - len(needed))])
    return Task(name, split, tuple(map(_question, rows)), tuple(chunk for chunk in corpus if chunk.id in taken))


def _wanted(name: str, row: dict[str, Any]) -> bool:
    return bool(row["gold"]) and row.get("source", "").startswith(SETS[name])


def _question(row: dict[str, Any]) -> Question:
    return Question(
        id=row["id"],
        text=row["question"],
        gold=tuple(dict.fromkeys(each["doc_id"] for each in row["gold"])),
        quotes=tuple(quote for each in row["gold"] for quote in each.get("quotes", ())),
        answers=tuple(each for each in row["answers"] if each.lower() not in ("yes", "no")),
    )


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)
