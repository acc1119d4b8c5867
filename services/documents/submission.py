"""What the document path is given of a document that the ledger knows."""

from collections.abc import Mapping
from typing import Protocol

from indexing.stream import Submission
from pipelines.core.access import Labels
from pipelines.core.types import Scalar

TITLE_KEY = "title"
"""The field of a document's metadata that is shown instead of its own title."""


class Described(Protocol):
    """A document, or work on one, as the ledger gives it out."""

    @property
    def tenant(self) -> str:
        """Whose it is."""

    @property
    def source(self) -> str:
        """Names it within its tenant."""

    @property
    def name(self) -> str:
        """Its file name."""

    @property
    def blob_key(self) -> str:
        """Where its bytes are."""

    @property
    def metadata(self) -> Mapping[str, Scalar | tuple[Scalar, ...]]:
        """Fields to filter by, and its title."""

    @property
    def labels(self) -> Labels:
        """Access labels."""


def submission(document: Described, document_id: str, version: str) -> Submission:
    """A document as the document path takes it, to be published as this version."""
    title = document.metadata.get(TITLE_KEY)
    return Submission(
        document_id=document_id,
        tenant=document.tenant,
        source=document.source,
        version=version,
        blob_key=document.blob_key,
        name=document.name,
        title=str(title) if title else None,
        metadata={key: value for key, value in document.metadata.items() if key != TITLE_KEY},
        labels=document.labels,
    )
