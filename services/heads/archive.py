"""A head's folder as one file: the same folder always gives the same bytes, so that a hash names a version."""

import hashlib
import io
import tarfile
from collections.abc import Iterable
from pathlib import Path

from pipelines.core.encoders.spec import HEAD_FILE, SPEC_FILE
from pipelines.core.errors import InvalidRequestError

FILES = frozenset({SPEC_FILE, HEAD_FILE, "adapter_config.json", "adapter_model.safetensors", "README.md"})
"""What a head may be made of: JSON, tensors and its card. Nothing that could be run."""
NEEDED = frozenset({SPEC_FILE, HEAD_FILE})
MAX_BYTES = 64 * 1024 * 1024


def pack(folder: Path) -> bytes:
    """The files of a head's folder, those of `FILES`; others are left out.

    Raises:
        InvalidRequestError: it is no head's folder, or far too large.
    """
    found = {name: folder / name for name in sorted(FILES) if (folder / name).is_file()}
    _check(found, sum(path.stat().st_size for path in found.values()))
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, path in found.items():
            content = path.read_bytes()
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o644
            archive.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def unpack(packed: bytes, folder: Path) -> None:
    """Writes the files into an empty folder.

    Raises:
        InvalidRequestError: it is no packed head: another file, a link, a path, too large.
    """
    try:
        with tarfile.open(fileobj=io.BytesIO(packed), mode="r:") as archive:
            members = archive.getmembers()
            if any(not member.isreg() for member in members):
                raise InvalidRequestError("The packed head holds what is no plain file.")
            _check((member.name for member in members), sum(member.size for member in members))
            for member in members:
                content = archive.extractfile(member)
                assert content is not None
                (folder / member.name).write_bytes(content.read())
    except tarfile.TarError as error:
        raise InvalidRequestError("This is no packed head.") from error


def sha256_of(packed: bytes) -> str:
    """Names what is packed."""
    return hashlib.sha256(packed).hexdigest()


def _check(names: Iterable[str], size: int) -> None:
    given = list(names)
    if size > MAX_BYTES:
        raise InvalidRequestError(f"The head is larger than {MAX_BYTES} bytes.")
    if len(given) != len(set(given)) or not NEEDED <= set(given) <= FILES:
        raise InvalidRequestError(
            f"A head is made of {', '.join(sorted(NEEDED))} and its adapter, and of nothing else."
        )
