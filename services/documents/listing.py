"""What a source holds: its files one after the other, in bounded memory, and their bytes."""

import os
import re
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath
from typing import Any, BinaryIO, Protocol

from pydantic import SecretStr

from indexing.convert.sniff import EXTENSIONS
from pipelines.core.errors import ConfigurationError, InvalidRequestError
from pipelines.core.remote import RemoteFiles, changed_at
from services.documents.archives import is_archive
from services.documents.locations import Location

TICK_NS = 50_000_000
"""A file that changes twice within a tick of the file system's clock shows one time of change."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A file of a source.

    Attributes:
        url: Source of its document.
        mark: Differs between two contents.
        place: Where the listing finds it.
    """

    url: str
    name: str
    mark: str
    place: str


class UnreadableFileError(Exception):
    """One file cannot be read; the others can. Its text is a reason of `services.documents.intake`."""


class Listing(Protocol):
    """The files of one source. Hidden files, and those whose ending no converter reads, are left out."""

    left_out: int
    """Folders that could not be entered so far: files of theirs may be there though they were not listed."""

    def files(self) -> Iterator[Listed]:
        """Lists.

        Raises:
            InvalidRequestError: there is no such folder.
            BlobsUnavailableError: the store cannot be used now.
            ConfigurationError: the store refuses.
        """

    def open(self, file: Listed) -> Any:
        """A context manager that opens a file to be read; seekable.

        Raises:
            FileNotFoundError: it is gone.
            UnreadableFileError: it cannot be read.
            BlobsUnavailableError: the store cannot be used now.
        """

    def mark(self, file: Listed) -> str | None:
        """Its mark now; `None` when it is gone."""


def is_readable(name: str) -> bool:
    """Whether a file of this name is taken from a folder: some converter reads it, or it is an archive."""
    return PurePath(name).suffix.lower() in EXTENSIONS or is_archive(name)


def make_listing(location: Location, options: Mapping[str, Mapping[str, SecretStr]], *, timeout_s: float) -> Listing:
    """The files of a place."""
    if location.protocol == "file":
        return FolderListing(location.path)
    setting = f"ingest.source_options.{location.protocol}"
    files = RemoteFiles(location.url, options.get(location.protocol, {}), timeout_s=timeout_s, setting=setting)
    return BucketListing(files, location) if location.protocol == "s3" else RemoteListing(files, location)


class FolderListing:
    """See `Listing`. Follows no link to another folder, and none to a file outside of its own."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._real = root.resolve()
        self.left_out = 0

    def files(self) -> Iterator[Listed]:
        """See `Listing`."""
        if not self._root.is_dir():
            raise InvalidRequestError(f"There is no folder {self._root}.")
        folders = [self._root]
        while folders:
            try:
                entries = os.scandir(folders.pop())
            except OSError:
                self.left_out += 1
                continue
            with entries:
                for entry in entries:
                    if entry.name.startswith("."):
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(Path(entry.path))
                    elif is_readable(entry.name) and (listed := self._listed(Path(entry.path), entry.is_symlink())):
                        yield listed

    def _listed(self, path: Path, linked: bool) -> Listed | None:
        if linked and not path.resolve().is_relative_to(self._real):
            return None
        try:
            status = path.stat()
        except OSError:
            return None  # it vanished, or is a link to nowhere
        return Listed(path.as_uri(), path.name, _mark(status), str(path)) if stat.S_ISREG(status.st_mode) else None

    @contextmanager
    def open(self, file: Listed) -> Iterator[BinaryIO]:
        """See `Listing`."""
        try:
            descriptor = os.open(file.place, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise UnreadableFileError("closed") from error
        with os.fdopen(descriptor, "rb") as stream:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or not self._is_ours(descriptor, file.place):
                raise UnreadableFileError("outside")
            if abs(time.time_ns() - status.st_mtime_ns) < TICK_NS:
                time.sleep(TICK_NS / 1e9)  # so that whoever writes from here on leaves another time of change
            yield stream

    def _is_ours(self, descriptor: int, place: str) -> bool:
        """Whether what was opened lies in the folder: asked of the kernel, since names may change at any time."""
        opened = f"/proc/self/fd/{descriptor}"
        return Path(os.path.realpath(opened if Path(opened).exists() else place)).is_relative_to(self._real)

    def mark(self, file: Listed) -> str | None:
        """See `Listing`."""
        try:
            return _mark(Path(file.place).stat())
        except OSError:
            return None


class BucketListing:
    """See `Listing`; of an S3 bucket, a thousand keys at a time."""

    def __init__(self, files: RemoteFiles, location: Location) -> None:
        self._files, self._location = files, location
        self.left_out = 0

    def files(self) -> Iterator[Listed]:
        """See `Listing`."""
        bucket, prefix = self._location.host, self._location.prefix
        try:
            for page in self._files.pages(bucket, prefix):
                for entry in page:
                    key = str(entry["Key"])
                    if _is_visible(key[len(prefix) :]):
                        mark = f"{entry['ETag']}:{entry['Size']}"
                        yield Listed(f"s3://{bucket}/{key}", key.rpartition("/")[2], mark, f"{bucket}/{key}")
        except FileNotFoundError:
            raise InvalidRequestError(f"There is no bucket {bucket}.") from None

    @contextmanager
    def open(self, file: Listed) -> Iterator[BinaryIO]:
        """See `Listing`."""
        with _copied(self._files, file) as stream:
            yield stream

    def mark(self, file: Listed) -> str | None:
        """See `Listing`."""
        try:
            info = self._files.info(file.place)
        except (FileNotFoundError, ConfigurationError):
            return None
        return f"{info['ETag']}:{info['size']}"


class RemoteListing:
    """See `Listing`; of any other file system that fsspec knows, folder by folder."""

    def __init__(self, files: RemoteFiles, location: Location) -> None:
        self._files, self._location = files, location
        self.left_out = 0

    def files(self) -> Iterator[Listed]:
        """See `Listing`."""
        root = f"{self._location.host}/{self._location.prefix}".rstrip("/")
        try:
            self._files.info(root)
        except FileNotFoundError:
            raise InvalidRequestError(f"There is no folder {self._location.url}.") from None
        folders = [root]
        while folders:
            here = folders.pop()
            for info in self._files.folder(here):
                place = str(info["name"])
                name = PurePosixPath(place).name
                if name.startswith("."):
                    continue
                if info.get("type") == "directory":
                    folders.append(place)
                elif is_readable(name):
                    url = self._location.url + place.removeprefix("/").removeprefix(root.removeprefix("/")).lstrip("/")
                    yield Listed(url, name, _remote_mark(info), place)

    @contextmanager
    def open(self, file: Listed) -> Iterator[BinaryIO]:
        """See `Listing`."""
        with _copied(self._files, file) as stream:
            yield stream

    def mark(self, file: Listed) -> str | None:
        """See `Listing`."""
        try:
            return _remote_mark(self._files.info(file.place))
        except (FileNotFoundError, ConfigurationError):
            return None


@contextmanager
def _copied(files: RemoteFiles, file: Listed) -> Iterator[BinaryIO]:
    """A local copy: what is read of it later is of one version, and archives can be read at any place."""
    copy = files.local(file.place)
    try:
        path = copy.__enter__()
    except ConfigurationError as error:  # it could be listed: this file only is closed to us
        raise UnreadableFileError("refused") from error
    try:
        with path.open("rb") as stream:
            yield stream
    finally:
        copy.__exit__(None, None, None)


def _is_visible(path: str) -> bool:
    *folders, name = path.split("/")
    hidden = any(folder.startswith(".") for folder in folders)
    return (
        not (hidden or name.startswith(".")) and is_readable(name) and not re.search(r"\?versionId=", name)
    )  # s3fs reads that as a version


def _mark(status: os.stat_result) -> str:
    return f"{status.st_size}:{status.st_mtime_ns}"


def _remote_mark(info: Mapping[str, Any]) -> str:
    for name in ("ETag", "etag", "md5Hash", "content_md5", "checksum"):
        if info.get(name):
            return f"{info[name]}:{info.get('size')}"
    return f"{info.get('size')}:{changed_at(info).isoformat()}"
