"""What a point carries: enough to filter on, and the passage itself as one JSON string.

A string decodes faster than a tree (one copy instead of a Python object a sentence), and only the passages that are
returned are decoded. It also round-trips exactly, which Qdrant's own JSON does not promise for every number.
"""

import json
import math
from collections.abc import Mapping
from typing import Any
from uuid import UUID, uuid5

from pipelines.core.access import Labels
from pipelines.core.errors import InvalidRequestError, MalformedDocumentError
from pipelines.core.store.base import EmbeddedPassage
from pipelines.core.types import Passage, Scalar

SCOPE = "scope"
"""Level and tenant in one keyword, set only while published: a search checks one field instead of three."""
TENANT = "tenant"
DOCUMENT = "document_id"
VERSION = "version"
LEVEL = "level"
SECTION = "section"
"""Id of the section point that the passage belongs to."""
START = "start"
REVISION = "revision"
"""When a version was published, in milliseconds, above the document's earlier ones; absent while staged."""
LABELS = "labels"
"""Access labels, or `UNLABELLED` alone: Qdrant's forms do not agree on how to ask for an empty field."""
METADATA = "metadata"
BODY = "body"

PASSAGE_LEVEL = "passage"
SECTION_LEVEL = "section"
UNLABELLED = "*"
"""No access label: it begins with none of the characters that a label begins with."""

_INT64 = 2**63
_BOOLEANS = {True: "\x00true", False: "\x00false"}


def scope(level: str, tenant: str) -> str:
    """The value of `SCOPE` for published points of one level and tenant."""
    return f"{level}:{tenant}"


def point_id(text: str) -> str:
    """The id itself.

    Raises:
        InvalidRequestError: it is not a UUID in canonical form, the only text that Qdrant takes as an id.
    """
    try:
        canonical = str(UUID(text)) == text
    except ValueError:
        canonical = False
    if not canonical:
        raise InvalidRequestError(f"{text!r} is not a UUID in canonical form")
    return text


def section_point(item: EmbeddedPassage) -> str:
    """Id of the point of a passage's section: versions, documents and tenants must not overwrite each other's."""
    passage = item.passage
    return str(uuid5(UUID(point_id(passage.section_id)), f"{item.tenant}/{passage.document_id}/{passage.version}"))


def encode(item: EmbeddedPassage) -> dict[str, Any]:
    """The payload of a staged passage.

    Raises:
        MalformedDocumentError: a text holds unpaired surrogates.
    """
    passage = item.passage
    try:
        # not `model_dump_json`, which writes a metadata value of infinity as null and could not read it again
        body = json.dumps(passage.model_dump(), ensure_ascii=False, separators=(",", ":"))
        body.encode()
    except UnicodeEncodeError as error:
        raise MalformedDocumentError(f"{passage.source!r} holds characters that are not Unicode text") from error
    return {
        TENANT: item.tenant,
        DOCUMENT: passage.document_id,
        VERSION: passage.version,
        LEVEL: PASSAGE_LEVEL,
        SECTION: section_point(item),
        START: passage.start,
        LABELS: access(passage.labels),
        METADATA: filterable(passage.metadata),
        BODY: body,
    }


def decode(payload: Mapping[str, Any], reader: Labels | None = None) -> Passage:
    """The passage that `encode` was given.

    Args:
        reader: Access labels of whoever it is for: of the passage's own only these are told; `None`: all.
    """
    passage = Passage.model_validate_json(payload[BODY])
    if reader is None or set(passage.labels) <= set(reader):
        return passage
    return passage.model_copy(update={"labels": tuple(label for label in passage.labels if label in reader)})


def access(labels: Labels) -> list[str]:
    """What `LABELS` holds."""
    return list(labels) or [UNLABELLED]


def filterable(metadata: Mapping[str, Scalar | tuple[Scalar, ...]]) -> dict[str, Any]:
    """The part of the metadata that Qdrant can compare: no NaN, no infinity, no integer beyond 64 bits."""
    kept: dict[str, Any] = {}
    for key, value in metadata.items():
        if isinstance(value, tuple):
            kept[key] = [comparable(each) for each in value if is_comparable(each)]
        elif is_comparable(value):
            kept[key] = comparable(value)
    return kept


def is_comparable(value: Scalar) -> bool:
    """Whether Qdrant can hold the value without changing it."""
    if isinstance(value, float):
        return math.isfinite(value)
    return not isinstance(value, int) or -_INT64 <= value < _INT64


def comparable(value: Scalar) -> str | int | float:
    """The value as it is filtered on: truth values as words of their own.

    qdrant-edge-py 0.9.0 turns `MatchValue(True)` into `MatchValue(1)`, which no boolean equals.
    """
    return _BOOLEANS[value] if isinstance(value, bool) else value
