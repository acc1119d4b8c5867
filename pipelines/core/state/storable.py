"""Text and metadata as any database stores them."""

from typing import Any

from pipelines.core.state.records import Metadata


def clean(text: str) -> str:
    """Text that any database stores: no NUL, no lone surrogates (file names may have them)."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8").replace("\x00", "\\x00")


def clean_metadata(metadata: Metadata) -> dict[str, Any]:
    """Metadata as JSON that any database stores."""

    def scalar(value: Any) -> Any:
        return clean(value) if isinstance(value, str) else value

    return {
        clean(name): [scalar(part) for part in value] if isinstance(value, tuple) else scalar(value)
        for name, value in metadata.items()
    }
