"""Kills an ingest at random moments, restarts it, and accounts for every document and passage.

One trial: `strata ingest` of a folder is killed with SIGKILL at a random moment; what the index holds by then, staged
or published, is counted; the same command runs to its end. Then every file must be in the ledger once, indexed or
failed; no passage may be in the index twice; and the second run must have embedded exactly what the first had not
written.

    python benchmarks/kill.py --files FOLDER [--trials 3] [--seed 7]
"""

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from pipelines.core.settings import Settings
from pipelines.core.state import Document
from pipelines.core.store import DocumentVersion
from pipelines.core.types import DEFAULT_TENANT
from services.runtime import Runtime


def main() -> None:
    """Runs the trials and prints one line each; exits with 1 when one did not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=Path, required=True)
    parser.add_argument("--trials", type=int, default=3)
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    files = sum(1 for path in arguments.files.rglob("*") if path.is_file())
    moments = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as data_dir:
        whole_s, _ = run(arguments.files, Path(data_dir))
    results = []
    for _ in range(arguments.trials):
        with tempfile.TemporaryDirectory() as data_dir:
            results.append(trial(arguments.files, Path(data_dir), moments.uniform(0.1, 0.95) * whole_s))
            print(json.dumps(results[-1]), flush=True)
    held = all(
        result["accounted"] == files and result["twice"] == 0 and result["embedded_again"] == 0 for result in results
    )
    print(f"{arguments.trials} trials of {files} files ({whole_s:.0f} s undisturbed): {'held' if held else 'FAILED'}")
    sys.exit(0 if held else 1)


def trial(files: Path, data_dir: Path, kill_after_s: float) -> dict[str, float]:
    """One kill and one restart."""
    process = subprocess.Popen(command(files, data_dir), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(kill_after_s)
    process.send_signal(signal.SIGKILL)
    process.wait()
    with Runtime(Settings(data_dir=data_dir)) as runtime:
        written = sum(len(runtime.store.written(version)) for version in versions(documents(runtime)))
    _, report = run(files, data_dir)
    with Runtime(Settings(data_dir=data_dir)) as runtime:
        ended = documents(runtime)
        held = [passage.id for document in ended for passage in runtime.store.passages(document.id)]
        total = runtime.store.info().passages
    return {
        "killed_after_s": round(kill_after_s, 1),
        "accounted": sum(document.status in {"indexed", "failed"} for document in ended),
        "indexed": sum(document.status == "indexed" for document in ended),
        "passages": total,
        "twice": len(held) - len(set(held)) + abs(total - len(held)),
        "written_before_kill": written,
        "embedded_after": report["embedded"],
        "embedded_again": written + report["embedded"] - total,
    }


def run(files: Path, data_dir: Path) -> tuple[float, dict[str, int]]:
    """Ingests to the end: wall time in seconds, and the command's report."""
    started = time.perf_counter()
    done = subprocess.run([*command(files, data_dir), "--json"], stdout=subprocess.PIPE, check=False)
    return time.perf_counter() - started, json.loads(done.stdout)


def command(files: Path, data_dir: Path) -> list[str]:
    """The command as a user types it."""
    return [sys.executable, "-m", "services.cli.main", "--data-dir", str(data_dir), "ingest", str(files)]


def documents(runtime: Runtime) -> list[Document]:
    """All documents of the ledger."""
    found: list[Document] = []
    cursor = None
    while True:
        page = runtime.ledger.documents(DEFAULT_TENANT, cursor=cursor, limit=500)
        found += page.items
        cursor = page.next_cursor
        if cursor is None:
            return found


def versions(found: list[Document]) -> list[DocumentVersion]:
    """Every version that may have passages in the index."""
    names = {(document.id, version) for document in found for version in (document.version, document.pending_version)}
    return [DocumentVersion(document, version) for document, version in sorted(names, key=str) if version]


if __name__ == "__main__":
    main()
