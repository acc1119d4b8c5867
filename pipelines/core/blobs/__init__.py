"""Where bytes lie: submitted files, named by their content, and source texts, named by their document version."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from pipelines.core.blobs.base import Blob, BlobStore, TextWriter
from pipelines.core.blobs.folder import FolderBlobs
from pipelines.core.blobs.objects import ObjectBlobs
from pipelines.core.errors import ConfigurationError
from pipelines.core.remote import RemoteFiles
from pipelines.core.settings import BlobSettings

__all__ = ["Blob", "BlobStore", "FolderBlobs", "ObjectBlobs", "TextWriter", "make_blobs"]


def make_blobs(settings: BlobSettings, data_dir: Path) -> BlobStore:
    """The store that the settings name; contacts nobody.

    Raises:
        ConfigurationError: the address is not one.
    """
    if settings.url is None:
        return FolderBlobs(data_dir / "blobs")
    parts = urlsplit(settings.url)
    if not parts.scheme or "@" in parts.netloc:
        raise ConfigurationError(
            "blobs.url is an address such as `s3://bucket/prefix` or `file:///folder`; credentials go to blobs.options."
        )
    if parts.scheme == "file":
        return FolderBlobs(Path(unquote(parts.path)))
    files = RemoteFiles(settings.url, settings.options, timeout_s=settings.timeout_s, setting="blobs.options")
    return ObjectBlobs(files, settings.url.partition("://")[2], timeout_s=settings.timeout_s)
