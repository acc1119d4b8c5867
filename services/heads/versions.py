"""Where versions of heads lie: each is one blob, named by the register, kept as files in a cache of this machine."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.core.blobs import BlobStore
from pipelines.core.encoders.cache import ModelCache
from pipelines.core.encoders.spec import ADAPTERS, HeadName, HeadSpec
from pipelines.core.errors import ConfigurationError, InvalidRequestError
from pipelines.core.state import HeadVersion, HeadVersions
from services.heads.archive import pack, sha256_of, unpack


class HeadStore:
    """Stores and fetches versions. Safe to share between threads and processes.

    Args:
        cache: For the files of versions.
    """

    def __init__(self, versions: HeadVersions, blobs: BlobStore, cache: ModelCache) -> None:
        self._versions, self._blobs, self._cache = versions, blobs, cache

    def add(self, folder: Path, figures: Mapping[str, Any], parent: str | None = None) -> HeadVersion:
        """Stores a head's folder as a candidate, its files first. The same folder again changes nothing.

        Raises:
            InvalidRequestError: it is no head's folder.
            ConflictError: there is another head of its name and version.
        """
        try:
            spec = HeadSpec.read(folder)
        except (OSError, ValueError) as error:
            raise InvalidRequestError(f"{folder} is no head: {error}") from error
        packed = pack(folder)
        blob = self._blobs.put([packed])
        return self._versions.add(
            spec.name,
            spec.version,
            sha256=blob.sha256,
            blob_key=blob.key,
            size_bytes=len(packed),
            figures=figures,
            parent=parent,
        )

    def folder(self, version: HeadVersion) -> Path:
        """The files of a version, fetched where they are not in the cache as they were put there.

        Raises:
            ConfigurationError: what is stored does not have the hash that the register names.
            NotFoundError: its blob is gone.
        """
        folder = self._cache.folder(f"head-{version.name}-{version.sha256}", lambda made: self._fetch(version, made))
        if sha256_of(pack(folder)) != version.sha256:  # whoever can write the cache can write its manifest
            raise ConfigurationError(
                f"The head {version.name} {version.version} in {folder} is not the register's; delete that folder."
            )
        return folder

    def _fetch(self, version: HeadVersion, folder: Path) -> None:
        with self._blobs.local(version.blob_key) as path:
            packed = path.read_bytes() if path.stat().st_size == version.size_bytes else b""
        if sha256_of(packed) != version.sha256:
            raise ConfigurationError(
                f"The stored head {version.name} {version.version} is damaged: its hash is not the register's."
            )
        unpack(packed, folder)


def shipped(name: HeadName) -> tuple[HeadSpec, Path] | None:
    """The head that comes with Strata, where one does."""
    folder = ADAPTERS / name
    try:
        return HeadSpec.read(folder), folder
    except (OSError, ValueError):
        return None
