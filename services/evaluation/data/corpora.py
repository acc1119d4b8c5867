"""Where the documents of a set come from: a file in the normal form, its questions, its claims, or files to convert."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Protocol

from indexing.convert.base import PAGE_BREAK
from pipelines.core.errors import InvalidRequestError
from services.evaluation.data.rows import CorpusDocument, GroundingRow, QueryRow, read


class Corpus(Protocol):
    """The documents that the questions of a set are asked over."""

    def documents(self, folder: Path, split: str) -> Iterator[CorpusDocument]:
        """All of them, in order.

        Raises:
            InvalidRequestError: a file is missing or malformed.
        """

    def sha256(self, folder: Path, split: str) -> str:
        """Names their content, in hex."""


@dataclass(frozen=True, slots=True)
class NormalForm:
    """`corpus.jsonl.gz`, shared between the splits or the split's own.

    Attributes:
        of: The set that it lies in; empty means its own.
    """

    of: str = ""

    def documents(self, folder: Path, split: str) -> Iterator[CorpusDocument]:
        """See `Corpus`."""
        return read(self._path(folder, split), CorpusDocument)

    def sha256(self, folder: Path, split: str) -> str:
        """Of the file."""
        return _sha256([self._path(folder, split)])

    def _path(self, folder: Path, split: str) -> Path:
        home = folder.parent / self.of if self.of else folder
        own = home / split / "corpus.jsonl.gz"
        return own if own.is_file() else home / "shared" / "corpus.jsonl.gz"


@dataclass(frozen=True, slots=True)
class SourcesOfQuestions:
    """The passages that come with each question of `queries.jsonl.gz`, named `QUESTION#NUMBER`."""

    def documents(self, folder: Path, split: str) -> Iterator[CorpusDocument]:
        """See `Corpus`."""
        for query in read(folder / split / "queries.jsonl.gz", QueryRow):
            for source in query.sources:
                yield CorpusDocument(id=f"{query.id}#{source.n}", title=source.title, text=source.text)

    def sha256(self, folder: Path, split: str) -> str:
        """Of the questions."""
        return _sha256([folder / split / "queries.jsonl.gz"])


@dataclass(frozen=True, slots=True)
class ContextsOfClaims:
    """The passages that the claims about a question cite in `grounding.jsonl.gz`: one document a question."""

    def documents(self, folder: Path, split: str) -> Iterator[CorpusDocument]:
        """See `Corpus`."""
        texts: dict[str, dict[str, None]] = {}
        for claim in read(folder / split / "grounding.jsonl.gz", GroundingRow):
            if claim.question_id:
                texts.setdefault(claim.question_id, {}).update(dict.fromkeys(each.text for each in claim.context))
        for question, passages in texts.items():
            yield CorpusDocument(id=question, text="\n\n".join(passages))

    def sha256(self, folder: Path, split: str) -> str:
        """Of the claims."""
        return _sha256([folder / split / "grounding.jsonl.gz"])


@dataclass(frozen=True, slots=True)
class Filings:
    """One document a file: the bytes where `shared/pdf` has them, to be converted; else its pages as they stand."""

    def documents(self, folder: Path, split: str) -> Iterator[CorpusDocument]:
        """See `Corpus`."""
        pages = read(folder / "shared" / "corpus.jsonl.gz", CorpusDocument)
        for name, of_file in groupby(pages, key=lambda page: page.meta.get("file", "")):
            if not name or "/" in name:
                raise InvalidRequestError(f"{folder / 'shared'}: a page names no file: {name!r}.")
            path, texts = folder / "shared" / "pdf" / name, list(of_file)
            if path.is_file():
                yield CorpusDocument(id=name, title=texts[0].title, text="", file=path)
            else:
                text = PAGE_BREAK.join(page.text for page in texts)
                yield CorpusDocument(id=name, title=texts[0].title, text=text)

    def sha256(self, folder: Path, split: str) -> str:
        """Of the pages and of every file."""
        return _sha256([folder / "shared" / "corpus.jsonl.gz", *sorted((folder / "shared" / "pdf").glob("*"))])


def _sha256(paths: Sequence[Path]) -> str:
    """Of one file its own digest; of several, of theirs together."""
    digests = []
    for path in paths:
        with path.open("rb") as file:
            digests.append(hashlib.file_digest(file, "sha256").hexdigest())
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()
