"""Lines of the sets' files, in the normal form. Fields that evaluation does not read are left alone."""

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from pipelines.core.errors import InvalidRequestError
from pipelines.core.types import Turn

Id = Annotated[str, Field(min_length=1)]


class Row(BaseModel):
    """A line of a set's file."""

    model_config = ConfigDict(extra="ignore", frozen=True, coerce_numbers_to_str=True)


def _turn(value: Any) -> Any:
    """A turn is an object with its speaker, or the text of a user's turn."""
    if isinstance(value, dict) and "speaker" in value:
        return Turn(role="user" if value["speaker"] == "user" else "assistant", text=value.get("text"))
    return Turn(role="user", text=value) if isinstance(value, str) else value


History = tuple[Annotated[Turn, BeforeValidator(_turn)], ...]


def _texts(value: Any) -> Any:
    return tuple(str(each) for each in value) if isinstance(value, list) else value


class CorpusDocument(Row):
    """A document of a set's corpus.

    Attributes:
        file: Where its bytes are, for a document that is to be converted; `text` is then empty.
    """

    id: Id
    title: str = ""
    text: str
    sentences: tuple[str, ...] = ()
    meta: dict[str, str] = {}
    file: Path | None = Field(default=None, exclude=True)


class Gold(Row):
    """Where the answer to a question stands: a document, and what of it."""

    doc_id: str | None = None
    sent_ids: tuple[int, ...] | None = None
    quote: str | None = None
    quotes: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()


class Source(Row):
    """A passage that comes with its question."""

    n: int
    title: str = ""
    text: str


class QueryRow(Row):
    """`queries.jsonl.gz`: a question, its gold documents and answers."""

    id: Id
    question: Annotated[str, Field(min_length=1)]
    gold: tuple[Gold, ...] = ()
    history: History = ()
    answers: Annotated[tuple[str, ...], BeforeValidator(_texts)] = ()
    long_answer: str = ""
    candidates: tuple[str, ...] = ()
    passage: str | None = None
    sources: tuple[Source, ...] = ()
    type: Any = None
    answerability: str | None = None
    domain: str | None = None
    source: str | None = None
    rewrite: str | None = None


class RewriteRow(Row):
    """`rewrite.jsonl.gz`: a question of a conversation and how it stands alone."""

    id: Id
    question: Annotated[str, Field(min_length=1)]
    rewrite: Annotated[str, Field(min_length=1)]
    auto_rewrite: str | None = None
    history: History = ()
    needs_rewrite: bool = True
    domain: str | None = None


class Passage(Row):
    """A passage that a claim was written from."""

    text: str
    url: str = ""
    section: str = ""
    gold: bool = False


class GroundingRow(Row):
    """`grounding*.jsonl.gz`: a claim, its sources, what people say of them; which fields there are differs by set."""

    id: Id
    claim_or_response: Annotated[str, Field(min_length=1)]
    label: str | None = None
    supported: bool | None = None
    question_id: str | None = None
    question: str = ""
    history: History = ()
    context: tuple[Passage, ...] = ()
    context_sentences: tuple[str, ...] = ()
    supporting_sentence_sets: tuple[tuple[int, ...], ...] = ()
    support_idx: tuple[int, ...] = ()
    source_id: str | None = None
    gold_evidence: tuple[str, ...] = ()
    candidates: tuple[Passage, ...] = ()
    claim_title: str = ""
    page: str = ""
    field: str = ""
    domain: str | None = None
    model: str = ""
    labels: dict[str, tuple[float, ...]] = {}
    faithful_mean: float | None = None
    reference_answer: str = ""


class RoutingRow(Row):
    """`routing.jsonl.gz`: whether a small and a large model were right on a prompt."""

    id: Id
    prompt: Annotated[str, Field(min_length=1)]
    task: str
    small_correct: bool
    large_correct: bool
    contaminated: bool = False


class ManifestRow(Row):
    """`manifest.jsonl.gz`: a file to convert, and the Markdown that is expected of it, if any."""

    id: Id
    file: Id
    format: str
    expected_markdown: str | None = None


T = TypeVar("T", bound=Row)


def read(path: Path, row: type[T]) -> Iterator[T]:
    """The lines of a file, one after the other.

    Raises:
        InvalidRequestError: it is missing or not of the normal form; the detail names the line.
    """
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
    except FileNotFoundError as error:
        raise InvalidRequestError(f"{path} is missing; --data names the folder that holds the sets.") from error
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise InvalidRequestError(f"{path} cannot be read after line {number}: {error}") from error
