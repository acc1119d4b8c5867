"""Request bodies that bring documents: multipart files, spooled to disk as they come, or texts as JSON."""

import asyncio
import hashlib
import io
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import PurePath
from typing import BinaryIO, TypeVar, cast

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import TypeAdapter, ValidationError
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from pipelines.core import access
from pipelines.core.access import Labels
from pipelines.core.errors import InvalidRequestError, RequestTooLargeError
from pipelines.core.settings import Settings
from pipelines.core.types import Scalar
from services.api.limits import UnsupportedMediaTypeError
from services.api.schemas import AccessLabels, Label, Metadata, NewText, NewTexts
from services.documents.archives import is_archive
from services.documents.intake import NewDocument
from services.documents.submission import TITLE_KEY

SUFFIXES = {"markdown": (".md", ".markdown"), "text": (".txt", ".text"), "html": (".html", ".htm")}
MAX_FIELD_BYTES = 1024 * 1024

T = TypeVar("T")

_METADATA = TypeAdapter(Metadata | list[Metadata])
_LABEL: TypeAdapter[str] = TypeAdapter(Label)
_LABELS: TypeAdapter[list[str] | list[list[str]]] = TypeAdapter(AccessLabels | list[AccessLabels])


class _Parser(MultiPartParser):
    spool_max_size = 64 * 1024  # of a file's bytes, more than this goes to disk


@asynccontextmanager
async def submission(request: Request, settings: Settings) -> AsyncIterator[list[NewDocument]]:
    """The documents of a request; their streams are open inside the block.

    Raises:
        InvalidRequestError: there is none, they are malformed, or two have the same source.
        RequestTooLargeError: there are too many, or one is too large.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        form = await _form(request, settings.api.max_files)
        try:
            yield _checked(_files(form), settings)
        finally:
            await form.close()
    elif kind == "application/json":
        body = await request.body()
        yield _checked(await asyncio.to_thread(_texts, body), settings)
    else:
        raise UnsupportedMediaTypeError("Send documents as multipart/form-data or application/json.")


def _checked(documents: list[NewDocument], settings: Settings) -> list[NewDocument]:
    if not documents:
        raise InvalidRequestError("There is no document in this submission.")
    if len(documents) > settings.api.max_files:
        raise RequestTooLargeError(f"There are more than {settings.api.max_files} documents in this submission.")
    seen: set[str] = set()
    for document in documents:
        if document.source in seen:
            raise InvalidRequestError(f"Two documents have the source {document.source!r}: give each its own.")
        seen.add(document.source)
        size = cast(BinaryIO, document.content).seek(0, io.SEEK_END)
        cast(BinaryIO, document.content).seek(0)
        limit = settings.ingest.max_archive_bytes if is_archive(document.name) else settings.convert.max_file_bytes
        if size > limit:
            raise RequestTooLargeError(f"{document.name} has {size:,} bytes; the limit is {limit:,}.")
    return documents


# --- Files ---------------------------------------------------------------------------------------------------------


async def _form(request: Request, max_files: int) -> FormData:
    parser = _Parser(
        request.headers,
        request.stream(),
        max_files=max_files,
        max_fields=max_files + 1,
        max_part_size=MAX_FIELD_BYTES,
    )
    try:
        return await parser.parse()
    except MultiPartException as error:
        too_much = error.message.startswith(("Too many", "Part exceeded"))
        raise (RequestTooLargeError if too_much else InvalidRequestError)(error.message) from error


def _files(form: FormData) -> list[NewDocument]:
    if unknown := sorted(set(form) - {"files", "source", "metadata", "labels"}):
        raise InvalidRequestError(f"There is no form field {unknown[0]!r}; there are files, source, metadata, labels.")
    files = [file for file in form.getlist("files") if isinstance(file, UploadFile)]
    sources = form.getlist("source")
    if len(files) != len(form.getlist("files")) or not all(isinstance(source, str) for source in sources):
        raise InvalidRequestError("`files` takes files with names, `source` takes texts.")
    if sources and len(sources) != len(files):
        raise InvalidRequestError(f"There are {len(files)} files and {len(sources)} sources: give each file one.")
    metadata = _file_metadata(form.getlist("metadata"), len(files))
    labels = _file_labels(form.getlist("labels"), len(files))
    documents = []
    for at, file in enumerate(files):
        name = _label("files", PurePath((file.filename or "").replace("\\", "/")).name)
        source = _label("source", str(sources[at])) if sources else name
        documents.append(NewDocument(file.file, name, source, frozen(metadata[at]), labels[at]))
    return documents


def _file_metadata(fields: Sequence[object], files: int) -> list[Metadata]:
    if not fields:
        return [{} for _ in range(files)]
    metadata = _json(_METADATA, "metadata", fields)
    if isinstance(metadata, dict):
        return [metadata for _ in range(files)]
    if len(metadata) != files:
        raise InvalidRequestError(f"There are {files} files and {len(metadata)} entries in `metadata`.")
    return metadata


def _file_labels(fields: Sequence[object], files: int) -> list[Labels]:
    given = _json(_LABELS, "labels", fields) if fields else []
    if not any(isinstance(each, list) for each in given):
        return [access.labels(cast(list[str], given))] * files
    if len(given) != files:
        raise InvalidRequestError(f"There are {files} files and {len(given)} lists in `labels`.")
    return [access.labels(each) for each in given]


def _json(kind: TypeAdapter[T], name: str, fields: Sequence[object]) -> T:
    """What a form field holds as JSON."""
    if len(fields) > 1 or not isinstance(fields[0], str):
        raise InvalidRequestError(f"`{name}` is one field with JSON in it.")
    try:
        return kind.validate_json(fields[0])
    except ValidationError as error:
        raise RequestValidationError(_found(error, name)) from error


def _label(field: str, text: str) -> str:
    try:
        return _LABEL.validate_python(text)
    except ValidationError as error:
        raise RequestValidationError(_found(error, field)) from error


# --- Texts ---------------------------------------------------------------------------------------------------------


def _texts(body: bytes) -> list[NewDocument]:
    try:
        texts = NewTexts.model_validate_json(body)
    except ValidationError as error:
        raise RequestValidationError(_found(error)) from error
    return [_text(text) for text in texts.documents]


def _text(text: NewText) -> NewDocument:
    content = text.text.encode()
    suffixes = SUFFIXES[text.format]
    stem = text.name or text.title or "text"
    name = stem if stem.lower().endswith(suffixes) else stem + suffixes[0]
    source = text.source or text.name or f"text:{hashlib.sha256(content).hexdigest()[:32]}"
    metadata = {**text.metadata, **({TITLE_KEY: text.title} if text.title else {})}
    return NewDocument(io.BytesIO(content), name, source, frozen(metadata), access.labels(text.labels))


def frozen(metadata: Mapping[str, Scalar | list[Scalar]]) -> dict[str, Scalar | tuple[Scalar, ...]]:
    """Metadata as documents have it."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in metadata.items()}


def _found(error: ValidationError, *prefix: str) -> list[dict[str, object]]:
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return [{**each, "loc": ("body", *prefix, *each["loc"])} for each in found]
