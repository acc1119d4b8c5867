"""What is handed in becomes submissions: bytes go into the blob store, archives are taken as their members."""

import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath
from typing import BinaryIO, cast

from indexing.identity import document_id, document_version
from pipelines.core.access import Labels
from pipelines.core.blobs import BlobStore
from pipelines.core.errors import (
    DocumentError,
    DocumentTooLargeError,
    EncryptedDocumentError,
    MalformedDocumentError,
    RequestTooLargeError,
    StrataError,
    UnsupportedDocumentError,
)
from pipelines.core.settings import Settings
from pipelines.core.state import Submission, WorkItem
from pipelines.core.types import Scalar
from services.documents.archives import ArchiveTooLargeError, DamagedMemberError, Member, Readable, is_archive, members

CHUNK = 1024 * 1024

_UNREADABLE = "unreadable:"
_NO_FILE = MalformedDocumentError("The file could not be read from disk; check its permissions and try again.")
_REASONS: Mapping[str, DocumentError] = {
    "encrypted": EncryptedDocumentError("The file needs a password."),
    "nested": UnsupportedDocumentError("This is an archive inside of an archive: submit it by itself."),
    "packing": UnsupportedDocumentError("The archive packs this file in a way that is not read; pack it as usual."),
    "damaged": MalformedDocumentError("The file is damaged in the archive and cannot be unpacked."),
    "outside": UnsupportedDocumentError("This is no file of the folder that is synchronised, but a way out of it."),
    "refused": MalformedDocumentError("The store refuses to hand out this file; check what its credentials may read."),
    "archive": MalformedDocumentError(
        "The archive is damaged, cut short or empty; files before the damage were taken."
    ),
    "archive-size": DocumentTooLargeError(
        "The archive has more members, or unpacks to more, than is allowed (ingest.max_archive_members, "
        "ingest.max_archive_bytes); files before the limit were taken."
    ),
}


@dataclass(frozen=True, slots=True)
class NewDocument:
    """A document that a caller hands in. One whose name ends as an archive's does stands for its members.

    Attributes:
        content: Its bytes: a path, or an open stream that is read once; an archive's must be seekable.
        source: Names it within its tenant; submitting the same source again replaces the document. A member's is
            `SOURCE!/path`.
        metadata: Fields to filter by; `title` is shown instead of the document's own.
        labels: Access labels; see `pipelines.core.access`.
    """

    content: Path | Readable
    name: str
    source: str
    metadata: Mapping[str, Scalar | tuple[Scalar, ...]] = field(default_factory=dict)
    labels: Labels = ()


class Intake:
    """Makes submissions, one after the other, in bounded memory.

    Args:
        fingerprint: Of the encoder.
    """

    def __init__(self, settings: Settings, blobs: BlobStore, fingerprint: str) -> None:
        self._settings, self._blobs, self._fingerprint = settings, blobs, fingerprint

    def submissions(self, tenant: str, documents: Iterable[NewDocument], *, strict: bool) -> Iterator[Submission]:
        """The submissions of documents; their bytes are stored when a submission comes out.

        A file that is too large or cannot be read is submitted as well: it ends as failed, with the reason, and the
        others go on.

        Args:
            strict: An archive that is damaged, empty or too large is an error, and not a document that fails.

        Raises:
            MalformedDocumentError: an archive is damaged.
            EmptyDocumentError: an archive holds no file.
            ArchiveTooLargeError: an archive has more members, or unpacks to more, than it may.
            BlobsUnavailableError: the bytes cannot be stored now.
        """
        for document in documents:
            if is_archive(document.name):
                yield from self._members(tenant, document, strict)
            else:
                yield self._submission(tenant, document, self._keep(document.content))

    def unreadable(self, tenant: str, document: NewDocument, reason: str) -> Submission:
        """The submission of a file that could not be read; it ends as failed."""
        return self._submission(tenant, document, (f"{_UNREADABLE}{reason}", 0, ""))

    def _members(self, tenant: str, archive: NewDocument, strict: bool) -> Iterator[Submission]:
        limits = self._settings.ingest
        try:
            with _opened(archive.content) as stream:
                found = members(
                    stream, archive.name, max_members=limits.max_archive_members, max_bytes=limits.max_archive_bytes
                )
                for member in found:
                    document = replace(archive, name=member.name, source=f"{archive.source}!/{member.path}")
                    yield self._submission(tenant, document, self._keep_member(member))
        except (DocumentError, ArchiveTooLargeError) as error:
            if strict:
                raise
            reason = "archive-size" if isinstance(error, ArchiveTooLargeError) else "archive"
            yield self.unreadable(tenant, archive, reason)
        except _UnreadableError as error:
            yield self.unreadable(tenant, archive, str(error))

    def _keep_member(self, member: Member) -> tuple[str, int, str]:
        if member.content is None:
            return f"{_UNREADABLE}{member.refused}", 0, ""
        try:
            return self._keep(member.content)
        except DamagedMemberError:
            return f"{_UNREADABLE}damaged", 0, ""

    def _submission(self, tenant: str, document: NewDocument, kept: tuple[str, int, str]) -> Submission:
        sha256, size, key = kept
        metadata = dict(document.metadata)
        return Submission(
            document_id=document_id(tenant, document.source),
            source=document.source,
            name=document.name,
            content_sha256=sha256,
            size_bytes=size,
            format=PurePath(document.name).suffix.lstrip(".").lower(),
            blob_key=key,
            fingerprint=document_version(
                sha256,
                document.name,
                metadata,
                split=self._settings.split,
                encoder=self._fingerprint,
                labels=document.labels,
            ),
            metadata=metadata,
            labels=document.labels,
        )

    def _keep(self, content: Path | Readable) -> tuple[str, int, str]:
        """Stores bytes: their hash, size and key. The key is empty where they could not be stored."""
        limit = self._settings.convert.max_file_bytes
        size = 0
        try:
            if isinstance(content, Path):
                size = _regular_size(content)
                if size > limit:
                    return f"size:{size}", size, ""
            blob = self._blobs.put(_chunks(content), max_bytes=limit)
        except ArchiveTooLargeError:
            raise
        except RequestTooLargeError:
            return f"size:{limit + 1}", limit + 1, ""
        except _UnreadableError as error:
            return f"{_UNREADABLE}{error}", size, ""
        return blob.sha256, blob.size_bytes, blob.key


def refusal(item: WorkItem, settings: Settings) -> StrataError | None:
    """Why a submission cannot be worked on: the reason that was kept in the place of its content."""
    limit = settings.convert.max_file_bytes
    if item.size_bytes > limit:
        return DocumentTooLargeError(f"The file has {item.size_bytes:,} bytes; the limit is {limit:,}.")
    if item.blob_key:
        return None
    return _REASONS.get(item.content_sha256.removeprefix(_UNREADABLE), _NO_FILE)


class _UnreadableError(Exception):
    """A submitted file cannot be read: a fault of its own, not of the disk that keeps the blobs."""


@contextmanager
def _opened(content: Path | Readable) -> Iterator[BinaryIO]:
    if not isinstance(content, Path):
        yield cast(BinaryIO, content)
        return
    _regular_size(content)
    try:
        file = content.open("rb")
    except OSError as error:
        raise _UnreadableError(error.errno) from error
    with file:
        yield file


def _regular_size(path: Path) -> int:
    try:
        status = path.stat()
    except OSError as error:
        raise _UnreadableError(error.errno) from error
    if not stat.S_ISREG(status.st_mode):  # opening a pipe waits, a device never ends
        raise _UnreadableError("no file")
    return status.st_size


def _chunks(content: Path | Readable) -> Iterator[bytes]:
    try:
        with content.open("rb") if isinstance(content, Path) else nullcontext(content) as stream:
            while chunk := stream.read(CHUNK):
                yield chunk
    except OSError as error:
        raise _UnreadableError(error.errno) from error
