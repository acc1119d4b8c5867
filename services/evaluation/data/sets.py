"""The evaluation sets: what each one's questions stand on, and the questions of one split in the form that all share.

A set lies in `DIR/SET`: `SPLIT/queries.jsonl.gz` and its like (see `rows`), and a corpus (see `corpora`).
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Self, TypeVar

from pipelines.core.errors import InvalidRequestError
from pipelines.core.types import Turn
from services.evaluation.data.corpora import ContextsOfClaims, Corpus, Filings, NormalForm, SourcesOfQuestions
from services.evaluation.data.rows import CorpusDocument, Gold, QueryRow, Row, read

T = TypeVar("T", bound=Row)


@dataclass(frozen=True, slots=True)
class Item:
    """A question of a set.

    Attributes:
        history: Earlier turns, oldest first.
        gold: Ids of the corpus documents that answer it, without repetition.
        answers: Gold answers, any of which will do.
        group: What figures are broken down by; empty where the set has no groups.
        filter: Metadata that retrieval is confined to, inside the index.
        within: Corpus documents that retrieval is confined to; empty means all.
        answerable: Whether the corpus answers it; `None` where the set leaves that open.
        evidence: Which sentences of the gold documents answer it, as the set says it.
        candidates: Corpus documents that it comes with, those that do not answer it included.
    """

    id: str
    question: str
    history: tuple[Turn, ...]
    gold: tuple[str, ...]
    answers: tuple[str, ...]
    group: str
    filter: dict[str, str]
    within: tuple[str, ...] = ()
    answerable: bool | None = True
    evidence: tuple[Gold, ...] = ()
    candidates: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Adapter:
    """What is particular to one set.

    Attributes:
        corpus: What its questions are asked over; `None` where it has none.
        queries: Whether it has questions.
        conversations: Whether its questions have earlier turns.
        metadata_fields: Metadata that questions are confined by, to be indexed.
        within: The corpus documents that a question is confined to.
        only_with_documents: Whether questions without a document to be confined to are left out.
        short_answers: Whether an answer that is right holds a gold answer word for word.
    """

    corpus: Corpus | None = field(default_factory=NormalForm)
    queries: bool = True
    group: Callable[[QueryRow], str] = lambda query: ""
    filter: Callable[[QueryRow], dict[str, str]] = lambda query: {}
    within: Callable[[QueryRow], tuple[str, ...]] = lambda query: ()
    answerable: Callable[[QueryRow], bool | None] = lambda query: True
    answers: Callable[[QueryRow], tuple[str, ...]] = lambda query: query.answers
    conversations: bool = False
    only_with_documents: bool = False
    metadata_fields: tuple[str, ...] = ()
    short_answers: bool = True

    def item(self, query: QueryRow) -> Item:
        """The question in the form that all sets share."""
        return Item(
            id=query.id,
            question=query.question,
            history=query.history,
            gold=tuple(dict.fromkeys(gold.doc_id for gold in query.gold if gold.doc_id)),
            answers=self.answers(query),
            group=self.group(query),
            filter=self.filter(query),
            within=self.within(query),
            answerable=self.answerable(query),
            evidence=query.gold,
            candidates=query.candidates or ((query.passage,) if query.passage else ()),
        )


def _original(query: QueryRow) -> str:
    """The set that a question of multihop_wiki was taken from, whichever split of it."""
    name = (query.source or "").partition("-")[0]
    return {"hotpotqa": "HotpotQA", "musique": "MuSiQue"}.get(name, name)


def _domain(query: QueryRow) -> dict[str, str]:
    return {"domain": query.domain} if query.domain else {}


def _gold(query: QueryRow) -> tuple[str, ...]:
    """The documents that a question assumes to be given."""
    return tuple(dict.fromkeys(gold.doc_id for gold in query.gold if gold.doc_id))


def _answerability(query: QueryRow) -> bool | None:
    """Of MTRAG-UN; a question that is partly answered or underspecified is neither."""
    return {"ANSWERABLE": True, "UNANSWERABLE": False}.get(query.answerability or "")


_QUOTED = re.compile(r"\[ ?\d+ |(?<= )\]")
"""What marks a quote in an answer of QuoteSum: `[ 2 quoted words ]`."""

SETS: dict[str, Adapter] = {
    "nq_gold": Adapter(),
    "multihop_wiki": Adapter(group=_original),
    "clapnq": Adapter(answerable=lambda query: query.type == "answerable", short_answers=False),
    "mtrag": Adapter(
        group=lambda query: query.domain or "", filter=_domain, conversations=True, metadata_fields=("domain",)
    ),
    "mtrag_un": Adapter(
        corpus=NormalForm(of="mtrag"),
        group=lambda query: (query.answerability or "").lower(),
        filter=_domain,
        conversations=True,
        metadata_fields=("domain",),
        answerable=_answerability,
        short_answers=False,
    ),
    "quotesum": Adapter(
        corpus=SourcesOfQuestions(),
        within=lambda query: tuple(f"{query.id}#{source.n}" for source in query.sources),
        answers=lambda query: tuple(_QUOTED.sub("", answer) for answer in query.answers),
        short_answers=False,
    ),
    "expertqa": Adapter(
        corpus=ContextsOfClaims(),
        within=lambda query: (query.id,),
        answerable=lambda query: None,  # what other systems cited may not answer
        only_with_documents=True,
        short_answers=False,
    ),
    "sec10q": Adapter(corpus=Filings(), group=lambda query: str(query.type), short_answers=False),
    "tatqa": Adapter(group=lambda query: str(query.type), within=_gold),
    "pubmedqa": Adapter(answers=lambda query: (query.long_answer,), short_answers=False),
    "xquad_en": Adapter(),
    "wice": Adapter(corpus=None, queries=False),
    "fm2": Adapter(corpus=None, queries=False),
    "mtrag_human_eval": Adapter(corpus=None, queries=False),
    "cast_rewrite": Adapter(corpus=None, queries=False, conversations=True),
    "routing": Adapter(corpus=None, queries=False),
    "ingest_docs": Adapter(corpus=None, queries=False),
}


@dataclass(frozen=True)
class EvaluationSet:
    """One split of a set.

    Attributes:
        folder: The set's own folder.
        limit_documents: Only the first documents of the corpus; without it all.
    """

    name: str
    split: str
    adapter: Adapter
    folder: Path
    limit_documents: int | None = None

    @cached_property
    def questions(self) -> tuple[Item, ...]:
        """Its questions in the file's order, those without a gold document included.

        Raises:
            InvalidRequestError: the file is missing or not of the normal form.
        """
        items = tuple(self.adapter.item(query) for query in self.rows("queries", QueryRow))
        if not self.adapter.only_with_documents:
            return items
        known = {document.id for document in self.corpus()}
        return tuple(item for item in items if known.intersection(item.within))

    @cached_property
    def items(self) -> tuple[Item, ...]:
        """Its questions that have a gold document.

        Raises:
            InvalidRequestError: there is none.
        """
        items = tuple(item for item in self.questions if item.gold)
        if not items:
            raise InvalidRequestError(f"{self.name}: the split `{self.split}` has no question with a gold document.")
        return items

    @property
    def skipped(self) -> int:
        """Questions without a gold document."""
        return len(self.questions) - len(self.items)

    def rows(self, file: str, row: type[T], *, shared: bool = False) -> tuple[T, ...]:
        """The lines of one of its files, `file` without its endings.

        Args:
            shared: The file is of the whole set, not of the split.

        Raises:
            InvalidRequestError: it is missing or not of the normal form.
        """
        return tuple(read(self.folder / ("shared" if shared else self.split) / f"{file}.jsonl.gz", row))

    def corpus(self) -> Iterator[CorpusDocument]:
        """The documents that the questions are asked over, as far as `documents` goes.

        Raises:
            InvalidRequestError: they are not of the normal form, or there is no corpus.
        """
        corpus = self.adapter.corpus
        if corpus is None:
            raise InvalidRequestError(f"`{self.name}` has no corpus.")
        for number, document in enumerate(corpus.documents(self.folder, self.split)):
            if self.limit_documents is not None and number >= self.limit_documents:
                return
            yield document

    @property
    def corpus_name(self) -> str:
        """The set that the corpus is of: two sets may share one."""
        return getattr(self.adapter.corpus, "of", "") or self.name

    @cached_property
    def _looked_through(self) -> tuple[int, str]:
        """How many documents the corpus holds, and what names its content.

        Raises:
            InvalidRequestError: it holds none, or one twice.
        """
        corpus = self.adapter.corpus
        ids = [document.id for document in self.corpus()]
        if corpus is None or not ids:
            raise InvalidRequestError(f"The corpus of `{self.name}` holds no document.")
        if len(set(ids)) < len(ids):
            raise InvalidRequestError(f"The corpus of `{self.name}` names {len(ids) - len(set(ids))} documents twice.")
        digest = corpus.sha256(self.folder, self.split)
        return len(ids), digest if self.limit_documents is None else f"{digest}, the first {len(ids)}"

    @property
    def documents(self) -> int:
        """How many documents the corpus holds."""
        return self._looked_through[0]

    @property
    def corpus_sha256(self) -> str:
        """Of the corpus file or files, in hex."""
        return self._looked_through[1]

    def first(self, documents: int) -> Self:
        """The same questions over the first documents of the corpus only."""
        return replace(self, limit_documents=documents)


def load(name: str, data: Path, split: str) -> EvaluationSet:
    """A split of a set; its files are read when they are asked for.

    Raises:
        InvalidRequestError: there is no such set or split.
    """
    adapter = SETS.get(name)
    if adapter is None:
        raise InvalidRequestError(f"There is no set `{name}`; there are {', '.join(SETS)}.")
    folder = data / name
    if not folder.is_dir():
        raise InvalidRequestError(f"{folder} is missing; --data names the folder that holds the sets.")
    if not (folder / split).is_dir():
        raise InvalidRequestError(f"{folder / split} is missing; --split names a folder of the set.")
    evaluated = EvaluationSet(name, split, adapter, folder)
    if adapter.queries:
        _ = evaluated.questions
    if adapter.corpus:
        _ = evaluated.documents
    return evaluated
