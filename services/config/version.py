"""Names a configuration, and shows one, without its secrets."""

import hashlib
import json
import re
from typing import Any

from pydantic import SecretStr

from pipelines.core.settings import Settings

_SECRET_KEY = re.compile(
    r"(?i)(^|[_-])(api_?key|key|key_id|token|secret|password|credentials?|authorization|cookie)$|headers$"
)
_USER_INFO = re.compile(r"(?<=://)[^/@\s]+@")
REDACTED = "[redacted]"


def config_version(settings: Settings) -> str:
    """Twelve hex digits that change with any setting that is not a secret; the answer carries them."""
    text = json.dumps(redacted(settings), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:12]


def redacted(settings: Settings) -> dict[str, Any]:
    """The effective settings as plain values, secrets masked; names of variables (`os.environ/NAME`) stay."""
    data: dict[str, Any] = _plain(settings.model_dump())
    return data


def _plain(value: Any, key: str = "") -> Any:
    if isinstance(value, dict):
        return (
            {str(name): _plain(item, str(name)) for name, item in value.items()} if not _hides(key, value) else REDACTED
        )
    if isinstance(value, list | tuple):
        return [_plain(item, key) for item in value]
    if isinstance(value, SecretStr):
        return REDACTED
    if value is None or isinstance(value, bool | int | float):
        return value
    text = str(value)
    return REDACTED if _hides(key, text) else _USER_INFO.sub("", text)


def _hides(key: str, value: object) -> bool:
    return bool(_SECRET_KEY.search(key)) and not str(value).startswith("os.environ/")
