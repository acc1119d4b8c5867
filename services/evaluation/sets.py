"""Reads evaluation sets in the normal form: `DIR/SET/SPLIT/queries.jsonl.gz` over `DIR/SET/shared/corpus.jsonl.gz`."""

import gzip
import hashlib
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Annotated, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipelines.core.errors import InvalidRequestError

Id = Annotated[str, Field(min_length=1)]


class _Row(BaseModel):
    """A line of a set's file. Fields that evaluation does not read are left alone."""

    model_config = ConfigDict(extra="ignore", frozen=True, coerce_numbers_to_str=True)


class CorpusDocument(_Row):
    """A document of a set's corpus."""

    id: Id
    title: str = ""
    text: str
    meta: dict[str, str] = {}


class _Gold(_Row):
    doc_id: str | None = None


class _Query(_Row):
    id: Id
    question: Annotated[str, Field(min_length=1)]
    gold: tuple[_Gold, ...]
    history: tuple[str, ...] = ()
    answers: tuple[str, ...] = ()
    domain: str | None = None
    source: str | None = None


@dataclass(frozen=True, slots=True)
class Item:
    """A question of a set.

    Attributes:
        history: Earlier user turns, oldest first.
        gold: Ids of the corpus documents that answer it, without repetition; at least one.
        answers: Short gold answers, any of which will do.
        group: What figures are broken down by; empty where the set has no groups.
        filter: Metadata that retrieval is confined to, inside the index.
    """

    id: str
    question: str
    history: tuple[str, ...]
    gold: tuple[str, ...]
    answers: tuple[str, ...]
    group: str
    filter: dict[str, str]


@dataclass(frozen=True, slots=True)
class Adapter:
    """What is particular to one set.

    Attributes:
        tasks: What can be measured on it.
        conversations: Whether its questions have earlier turns.
        metadata_fields: Metadata that questions are confined by, to be indexed.
    """

    tasks: tuple[str, ...] = ("retrieval",)
    group: Callable[[_Query], str] = lambda query: ""
    filter: Callable[[_Query], dict[str, str]] = lambda query: {}
    conversations: bool = False
    metadata_fields: tuple[str, ...] = ()

    def item(self, query: _Query) -> Item:
        """The question in the form that all sets share."""
        return Item(
            id=query.id,
            question=query.question,
            history=query.history,
            gold=tuple(dict.fromkeys(gold.doc_id for gold in query.gold if gold.doc_id)),
            answers=query.answers,
            group=self.group(query),
            filter=self.filter(query),
        )


def _original(query: _Query) -> str:
    """The set that a question of multihop_wiki was taken from, whichever split of it."""
    name = (query.source or "").partition("-")[0]
    return {"hotpotqa": "HotpotQA", "musique": "MuSiQue"}.get(name, name)


def _domain(query: _Query) -> dict[str, str]:
    return {"domain": query.domain} if query.domain else {}


SETS = {
    "nq_gold": Adapter(tasks=("retrieval", "answers")),
    "multihop_wiki": Adapter(group=_original),
    "mtrag": Adapter(
        group=lambda query: query.domain or "", filter=_domain, conversations=True, metadata_fields=("domain",)
    ),
}


@dataclass(frozen=True, slots=True)
class EvaluationSet:
    """One split of a set.

    Attributes:
        items: Its questions that have a gold document, in the file's order.
        skipped: How many have none.
        documents: How many the corpus holds.
        corpus_sha256: Of the corpus file, in hex.
    """

    name: str
    split: str
    adapter: Adapter
    items: tuple[Item, ...]
    skipped: int
    corpus_path: Path
    documents: int = field(repr=False)
    corpus_sha256: str = field(repr=False)

    def corpus(self) -> Iterator[CorpusDocument]:
        """The corpus that all splits share, in the file's order, as far as `documents` goes.

        Raises:
            InvalidRequestError: it is not of the normal form; the detail names the line.
        """
        return islice(_read(self.corpus_path, CorpusDocument), self.documents)

    def first(self, documents: int) -> Self:
        """The same questions over the first documents of the corpus only."""
        count = min(documents, self.documents)
        return replace(self, documents=count, corpus_sha256=f"{self.corpus_sha256}, the first {count}")


def load(name: str, data: Path, split: str) -> EvaluationSet:
    """Reads a split of a set, and looks through its corpus once.

    Raises:
        InvalidRequestError: there is no such set or split, or a file is not of the normal form.
    """
    adapter = SETS.get(name)
    if adapter is None:
        raise InvalidRequestError(f"There is no set `{name}`; there are {', '.join(SETS)}.")
    queries, corpus = data / name / split / "queries.jsonl.gz", data / name / "shared" / "corpus.jsonl.gz"
    for path in (queries, corpus):
        if not path.is_file():
            raise InvalidRequestError(f"{path} is missing; --data names the folder that holds the sets.")
    items = [adapter.item(query) for query in _read(queries, _Query)]
    answerable = tuple(item for item in items if item.gold)
    if not answerable:
        raise InvalidRequestError(f"{queries} holds no question with a gold document.")
    ids = [document.id for document in _read(corpus, CorpusDocument)]
    if not ids:
        raise InvalidRequestError(f"{corpus} holds no document.")
    if len(set(ids)) < len(ids):
        raise InvalidRequestError(f"{corpus} names {len(ids) - len(set(ids))} documents twice.")
    with corpus.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return EvaluationSet(
        name, split, adapter, answerable, len(items) - len(answerable), corpus, documents=len(ids), corpus_sha256=digest
    )


T = TypeVar("T", bound=_Row)


def _read(path: Path, row: type[T]) -> Iterator[T]:
    number = 0
    try:
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            for line in lines:
                number += 1
                if line.strip():
                    yield row.model_validate_json(line)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InvalidRequestError(f"{path} line {number}: {where + ': ' if where else ''}{first['msg']}.") from error
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise InvalidRequestError(f"{path} cannot be read after line {number}: {error}") from error
