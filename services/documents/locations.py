"""Addresses of sources: checked, in their one form, and held against those that the API may be told to read."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pipelines.core.errors import ConfigurationError, ForbiddenError, InvalidRequestError

MAX_URL_CHARS = 2000
BUILT_IN = ("file", "s3")


@dataclass(frozen=True, slots=True)
class Location:
    """A folder, or what begins with a prefix in a bucket.

    Attributes:
        host: The bucket; empty for folders of a machine.
        segments: The names on the way, none of them empty, `.` or `..`.
    """

    protocol: str
    host: str
    segments: tuple[str, ...]

    @property
    def url(self) -> str:
        """The address in its one form; ends with a slash."""
        if self.protocol == "file":
            uri = self.path.as_uri()
            return uri if uri.endswith("/") else f"{uri}/"
        return "/".join((f"{self.protocol}://{self.host}", *self.segments, ""))

    @property
    def path(self) -> Path:
        """The folder, for `file`."""
        return Path("/", *self.segments)

    @property
    def prefix(self) -> str:
        """What its keys begin with in the bucket: empty, or ends with a slash."""
        return "".join(f"{segment}/" for segment in self.segments)

    def holds(self, other: "Location") -> bool:
        """Whether the other is this or lies below, by name."""
        return (self.protocol, self.host) == (other.protocol, other.host) and self.segments == other.segments[
            : len(self.segments)
        ]


def parse(url: str) -> Location:
    """Reads an address.

    Raises:
        InvalidRequestError: it is none, or has parts that no source may have.
    """
    if len(url) > MAX_URL_CHARS or any(ord(char) < 32 or 0xD800 <= ord(char) < 0xE000 for char in url):
        raise InvalidRequestError("This is no address of a source.")
    try:
        parts = urlsplit(url)
    except ValueError:
        raise InvalidRequestError("This is no address of a source.") from None
    protocol, path = parts.scheme.lower(), parts.path
    if not protocol or "://" not in url:
        raise InvalidRequestError("A source is an address such as `s3://bucket/manuals/` or `file:///srv/docs/`.")
    if "@" in parts.netloc:
        raise InvalidRequestError("An address of a source holds no credentials: they belong to ingest.source_options.")
    if parts.query or parts.fragment or url.endswith(("?", "#")):
        raise InvalidRequestError("An address of a source has no `?` and no `#`.")
    host = parts.netloc
    if protocol == "file":
        if host not in {"", "localhost"}:
            raise InvalidRequestError("A folder of another machine cannot be read: file:///FOLDER names one of this.")
        host, path = "", unquote(path)
    elif not host:
        raise InvalidRequestError("The address names no bucket.")
    segments = tuple(segment for segment in path.split("/") if segment)
    if any(segment in {".", ".."} for segment in segments) or "\0" in path:
        raise InvalidRequestError("An address of a source holds no `.` and no `..`.")
    return Location(protocol, host, segments)


def allowed(location: Location, sources: Sequence[str]) -> Location:
    """The configured address that a source lies under: by name, and for a folder also where its links lead.

    Raises:
        ForbiddenError: there is none.
    """
    for configured in configured_locations(sources):
        if configured.holds(location):
            if location.protocol != "file" or is_inside(location.path, configured.path):
                return configured
            raise ForbiddenError("The folder leads out of what ingest.sources allows.")
    raise ForbiddenError("This address is not under any that ingest.sources allows.")


def configured_locations(sources: Sequence[str]) -> list[Location]:
    """The addresses of `ingest.sources`.

    Raises:
        ConfigurationError: one is none.
    """
    try:
        return [parse(source) for source in sources]
    except InvalidRequestError as error:
        raise ConfigurationError(f"ingest.sources: {error.detail}") from error


def is_inside(path: Path, folder: Path) -> bool:
    """Whether a path, its links followed, is a folder or below it, whose links are followed as well."""
    return path.resolve().is_relative_to(folder.resolve())
