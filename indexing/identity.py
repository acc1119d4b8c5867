"""What names a document and a version of it. Content-derived: the same input has the same names everywhere."""

import hashlib
import json
import uuid
from collections.abc import Mapping

from pipelines.core.access import Labels
from pipelines.core.settings import SplitSettings

NAMESPACE = uuid.UUID("8b9d0a0e-6f0c-5d63-9e0a-3f3a5e6f7c11")
LAYOUT = "1"
"""Raised whenever the same file would give other passages, so that the next ingest renews what is indexed."""


def document_id(tenant: str, source: str) -> str:
    """The id of the document that a tenant knows by this source, whatever its content."""
    return str(uuid.uuid5(NAMESPACE, f"{tenant}\0{source}"))


def text_name(document_id: str, version: str) -> str:
    """What the blob store calls the source text of a version; see `BlobStore.text_writer`."""
    return f"{document_id}-{version}"


def preparation(split: SplitSettings, encoder: str) -> list[object]:
    """What shapes the passages of every document, for JSON.

    Args:
        encoder: `Encoder.fingerprint`.
    """
    return [LAYOUT, split.model_dump(), encoder]


def document_version(
    content_sha256: str,
    name: str,
    metadata: Mapping[str, object],
    *,
    split: SplitSettings,
    encoder: str,
    labels: Labels = (),
) -> str:
    """Names content and preparation: equal versions would index to equal passages.

    Args:
        encoder: `Encoder.fingerprint`.
        labels: Access labels.
    """
    prepared = preparation(split, encoder)
    facts = [content_sha256, name, sorted(metadata.items()), prepared, *([list(labels)] if labels else [])]
    return hashlib.sha256(json.dumps(facts, default=str).encode()).hexdigest()
