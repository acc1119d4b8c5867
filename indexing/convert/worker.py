"""The converter process: reads one request a line, converts, answers one line.

Started by `isolation` as `python -m indexing.convert.worker`; knows nothing of the process that started it.
"""

import contextlib
import json
import logging
import os
import signal
import sys
import warnings
from pathlib import Path
from typing import IO, Any

from indexing.convert.base import SourceFile
from indexing.convert.registry import converter_of
from indexing.convert.sniff import Format
from pipelines.core.errors import DocumentError, DocumentTooLargeError, EmptyDocumentError, MalformedDocumentError
from pipelines.core.settings import ConvertSettings

ORPHAN_GRACE_S = 10.0


def main() -> None:
    """Serve requests until standard input ends."""
    replies = _silence()
    settings = ConvertSettings.model_validate_json(sys.argv[1])
    _limit_memory(settings.max_memory_bytes)
    for line in sys.stdin:
        request = json.loads(line)
        # The parent kills a worker that takes too long. Should the parent be gone, the kernel does it.
        _alarm(settings.timeout_s + ORPHAN_GRACE_S)
        reply = _serve(request, settings)
        _alarm(0)
        print(json.dumps(reply), file=replies, flush=True)


def _silence() -> IO[str]:
    """Keep the standard output for replies; whatever a library prints goes nowhere."""
    replies = os.fdopen(os.dup(1), "w", encoding="ascii")
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    return replies


def _limit_memory(max_bytes: int) -> None:
    with contextlib.suppress(ImportError, ValueError, OSError):  # Windows has none; macOS refuses some limits
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (max_bytes, max_bytes))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _alarm(seconds: float) -> None:
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, seconds)


def _serve(request: dict[str, str], settings: ConvertSettings) -> dict[str, Any]:
    try:
        return _convert(request, settings)
    except DocumentError as error:
        return {"error": error.code, "detail": error.detail}
    except MemoryError:
        too_large = DocumentTooLargeError("Reading the file takes more memory than allowed (convert.max_memory_bytes).")
        return {"error": too_large.code, "detail": too_large.detail}
    except RecursionError:
        return {"error": MalformedDocumentError.code, "detail": "The file is nested too deeply to be read."}
    except Exception as error:
        # The process's boundary: parsers of hostile files raise anything.
        reason = f"{type(error).__name__}: {error}"[:300]
        kind = request["format"]
        return {"error": MalformedDocumentError.code, "detail": f"The {kind} is damaged and cannot be read ({reason})."}


def _convert(request: dict[str, str], settings: ConvertSettings) -> dict[str, Any]:
    source = SourceFile(path=Path(request["path"]), name=request["name"])
    kind = Format(request["format"])
    document = converter_of(kind)(source, settings)
    has_text = False
    with Path(request["target"]).open("w", encoding="utf-8", newline="") as target:
        for part in document.parts:
            has_text = has_text or bool(part.strip())
            target.write(part)
    if not has_text:
        raise EmptyDocumentError(f"The {kind} holds no text" + _SCANNED.get(kind, "."))
    return {"title": document.title, "paged": document.paged, "metadata": document.metadata}


_SCANNED = {Format.PDF: ": it may be scanned, and pictures of text are not read."}


if __name__ == "__main__":
    main()
