"""Files of an object store by fsspec: every call bounded, tried again a little, and behind a circuit breaker."""

import contextlib
import fcntl
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from pydantic import SecretStr

from pipelines.core.breaker import Breaker
from pipelines.core.errors import BlobsUnavailableError, ConfigurationError, StrataError
from pipelines.core.jitter import jitter

PART_BYTES = 8 * 1024 * 1024
"""Of a large upload; two of them are in memory at a time. A call may take `timeout_s` for each part it moves."""

TRIES = 3
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 1.0
CONNECT_S = 5.0
SPOOL_PREFIX = "strata-file-"


class RemoteFiles:
    """One file system. Safe to share between threads and over a fork.

    A path that is not there raises `FileNotFoundError`. Everything else that goes wrong is one of the errors below.

    Args:
        url: Names the protocol, and the place for the texts of errors. It must hold no secret.
        options: Of the fsspec file system, for S3 `key`, `secret`, `endpoint_url` and `region`.
        setting: Where the options are set, for the texts of errors.

    Raises:
        BlobsUnavailableError: the store cannot be reached, or answers too late, or with errors of its own.
        ConfigurationError: it refuses the credentials, or the address or an option cannot work.
    """

    def __init__(self, url: str, options: Mapping[str, SecretStr], *, timeout_s: float, setting: str) -> None:
        self.url = url
        self.protocol = url.partition("://")[0]
        self._options, self._timeout_s, self._setting = dict(options), timeout_s, setting
        self._breaker = Breaker(f"object store {url}", BlobsUnavailableError)
        self._systems: dict[int, Any] = {}

    # --- Calls -----------------------------------------------------------------------------------------------------

    def info(self, path: str) -> dict[str, Any]:
        """What the store knows of a file: `size`, and what `changed_at` and `etag` read."""
        if not self._is_s3:
            return dict(self._call("info", path))
        bucket, _, key = path.partition("/")  # one request, where s3fs also looks for a folder of that name
        head = self._call("call_s3", "head_object", Bucket=bucket, Key=key)
        return {**head, "size": head["ContentLength"], "type": "file"}

    def upload(self, local: Path, path: str) -> None:
        """Stores a local file; there whole or not at all, durable on return."""
        size = local.stat().st_size
        extra = {"chunksize": PART_BYTES, "max_concurrency": 2} if self._is_s3 else {}
        self._call("put_file", str(local), path, size=size, **extra)

    def download(self, path: str, local: Path, *, size: int) -> None:
        """Writes a file's bytes into a local one, in bounded memory."""
        extra = {"max_concurrency": 1} if self._is_s3 else {}
        self._call("get_file", path, str(local), size=size, **extra)

    def read(self, path: str, start: int, stop: int) -> bytes:
        """The bytes `[start, stop)` of a file."""
        return bytes(self._call("cat_file", path, start=start, end=stop)) if stop > start else b""

    def remove(self, path: str) -> None:
        """Removes a file; one that is not there may or may not be told."""
        self._call("rm_file", path)

    def folder(self, path: str) -> list[dict[str, Any]]:
        """The entries of a folder; none where there is no such folder."""
        try:
            return list(self._call("ls", path, detail=True))
        except FileNotFoundError:
            return []

    def pages(self, bucket: str, prefix: str) -> Iterator[list[dict[str, Any]]]:
        """All objects of an S3 bucket whose key begins with the prefix, a thousand at a time, in the order of keys."""
        more: dict[str, Any] = {}
        while True:
            page = self._call("call_s3", "list_objects_v2", Bucket=bucket, Prefix=prefix, **more)
            yield page.get("Contents", [])
            if not page.get("IsTruncated"):
                return
            more = {"ContinuationToken": page["NextContinuationToken"]}

    @contextlib.contextmanager
    def local(self, path: str) -> Iterator[Path]:
        """A local copy of a file, removed when the block ends."""
        size = int(self.info(path)["size"] or 0)
        with spool() as (_, copy):
            self.download(path, copy, size=size)
            yield copy

    # --- How -------------------------------------------------------------------------------------------------------

    def _call(self, method: str, *args: Any, size: int = 0, **kwargs: Any) -> Any:
        """One call: until it works, the tries are used up, or its time is over."""
        until = time.monotonic() + self._timeout_s * (1 + size // PART_BYTES)
        for tries_left in reversed(range(TRIES)):
            try:
                with self._breaker.calling(BlobsUnavailableError):
                    return self._try(method, until - time.monotonic(), *args, **kwargs)
            except BlobsUnavailableError as error:
                pause_s = jitter(min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 4 ** (TRIES - 1 - tries_left)), 0.5, 1.0)
                refused = error.retry_after_s is not None  # by the breaker: nothing was sent
                if refused or not tries_left or time.monotonic() + pause_s >= until:
                    raise
                time.sleep(pause_s)
        raise AssertionError("the last try returns or raises")

    def _try(self, method: str, timeout_s: float, *args: Any, **kwargs: Any) -> Any:
        try:
            system = self._system()
            if not system.async_impl:
                return getattr(system, method)(*args, **kwargs)
            from fsspec.asyn import sync

            return sync(system.loop, getattr(system, f"_{method}"), *args, timeout=max(0.1, timeout_s), **kwargs)
        except FileNotFoundError as error:
            if method == "put_file" or "bucket does not exist" in str(error):
                raise ConfigurationError(f"{self.url}: there is no such bucket or folder.") from error
            raise
        except Exception as error:  # libraries of many makers raise what they like
            raise self._translated(error) from error

    def _translated(self, error: Exception) -> StrataError:
        if isinstance(error, StrataError):
            return error
        kind = type(error).__name__
        if isinstance(error, PermissionError) or "Credentials" in kind:
            return ConfigurationError(
                f"{self.url} refuses the credentials, or what they may do: set `key` and `secret` in {self._setting} "
                "(for S3 also `region` and `endpoint_url` where they are not AWS's own), and allow them to list, read, "
                "write and delete there."
            )
        if isinstance(error, ImportError):
            return ConfigurationError(
                f"{self.url} needs a package that is not installed ({error}); for S3: pip install 'strata-rag[s3]'."
            )
        if isinstance(error, ValueError | TypeError) or kind == "ParamValidationError":
            return ConfigurationError(f"{self.url} or {self._setting} cannot work ({kind}).")
        return BlobsUnavailableError(f"{self.url} cannot be used ({kind}).")

    def _system(self) -> Any:
        """The file system of this process: its connections and its event loop do not survive a fork."""
        system = self._systems.get(os.getpid())
        if system is None:
            import fsspec

            kind = fsspec.get_filesystem_class(self.protocol)
            system = self._systems.setdefault(os.getpid(), kind(**self._storage_options(), skip_instance_cache=True))
            if self._is_s3:
                system.retries = 1  # we try again ourselves
        return system

    def _storage_options(self) -> dict[str, Any]:
        options: dict[str, Any] = {name: value.get_secret_value() for name, value in self._options.items()}
        options["use_listings_cache"] = False  # others write there as well
        if self._is_s3:
            region = options.pop("region", None)
            options["client_kwargs"] = {"region_name": region} if region else {}
            options["config_kwargs"] = {
                "connect_timeout": min(CONNECT_S, self._timeout_s),
                "read_timeout": self._timeout_s,
                "retries": {"max_attempts": 0},
            }
        return options

    @property
    def _is_s3(self) -> bool:
        return self.protocol in {"s3", "s3a"}


def changed_at(info: Mapping[str, Any]) -> datetime:
    """When a file was last written, by the store's clock; now, where the store does not say."""
    for name in ("LastModified", "last_modified", "mtime", "updated", "created"):
        value = info.get(name)
        if isinstance(value, datetime):
            return value if value.tzinfo else value.replace(tzinfo=UTC)
        if isinstance(value, int | float):
            return datetime.fromtimestamp(value, UTC)
    return datetime.now(UTC)


@contextlib.contextmanager
def spool() -> Iterator[tuple[BinaryIO, Path]]:
    """A temporary file, removed when the block ends. It lies where the system keeps them: see `TMPDIR`."""
    with tempfile.NamedTemporaryFile(prefix=SPOOL_PREFIX, delete=False) as file:
        path = Path(file.name)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file, path  # type: ignore[misc]  # typeshed: a wrapper with the same methods
        finally:
            path.unlink(missing_ok=True)


def remove_spooled(*, unused_for_s: float) -> int:
    """Removes the temporary files of killed processes; returns how many. Those in use are locked."""
    removed = 0
    for path in Path(tempfile.gettempdir()).glob(f"{SPOOL_PREFIX}*"):
        with contextlib.suppress(OSError), path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.stat().st_mtime <= time.time() - unused_for_s:
                path.unlink()
                removed += 1
    return removed
