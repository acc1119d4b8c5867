"""Memory of an ingest worker over time: one large text file, and many small ones.

Embedding 500 MB takes hours on two cores, and no memory: the encoder sees a batch of passages at a time. So each case
runs twice. `path` has all of it accepted, read, split, handed on in batches and published by the real worker, with an
encoder that computes nothing and an index that keeps nothing: what is around these two. `real` is the same with the
real encoder and the real client of an index server (the tests' stand-in, in a process that is not measured), stopped
after `--seconds`: were it to leak, the line would rise.

Printed for each run, from samples of the worker and the processes that it starts: what of its memory is its own
(anonymous) and all that is resident (RSS, with the files that it maps), at the peak and as the line over time, in
tenths of the run.

    python -m benchmarks.ingest_memory --mb 500 --files 10000 --seconds 180
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from pipelines.core.encoders import Embeddings
from pipelines.core.settings import IndexSettings, Settings
from pipelines.core.store import DocumentVersion, EmbeddedPassage
from pipelines.core.types import DEFAULT_TENANT, Usage
from services.documents.intake import NewDocument
from services.runtime import Runtime
from tests.support.qdrant_server import Qdrant

MIB = 1024 * 1024
SAMPLE_S = 1.0
PARTS = 10
SMALL_WORDS = 150
JOB = 500


def main() -> None:
    """Runs every case and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mb", type=int, default=500, help="size of the text file")
    parser.add_argument("--files", type=int, default=10_000, help="number of small files")
    parser.add_argument("--seconds", type=float, default=180.0, help="for a run with the real encoder")
    parser.add_argument("--run", choices=("path", "real", "both"), default="both")
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    parser.add_argument("--work", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        work(Path(arguments.work[0]), float(arguments.work[1]), arguments.work[2])
        return
    figures = []
    with tempfile.TemporaryDirectory() as root:
        for case in ("text", "files"):
            folder = Path(root) / case
            folder.mkdir()
            write_text(folder, arguments.mb) if case == "text" else write_files(folder, arguments.files)
            for run in ("path", "real") if arguments.run == "both" else (arguments.run,):
                with Qdrant() if run == "real" else nullcontext() as server:
                    figures.append(watch(case, folder, run, arguments.seconds, server.url if server else ""))
                show(figures[-1])
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2), "utf-8")


# --- Documents -----------------------------------------------------------------------------------------------------


def write_text(folder: Path, megabytes: int) -> None:
    """One text file of sentences that do not repeat."""
    with (folder / "large.txt").open("w", encoding="utf-8") as file:
        while file.tell() < megabytes * 1_000_000:
            file.writelines(f"{sentence}\n\n" if number % 5 == 4 else f"{sentence} " for number, sentence in _some(500))


def write_files(folder: Path, number: int) -> None:
    """Markdown files of a heading and a few sentences."""
    for at in range(number):
        text = " ".join(sentence for _, sentence in _some(SMALL_WORDS // 12))
        (folder / f"{at}.md").write_text(f"# Note {at}\n\n{text}\n", "utf-8")


_random = random.Random(7)
_words = ["".join(_random.choices("abcdefghijklmnopqrstuvwxyz", k=_random.randint(2, 9))) for _ in range(5000)]


def _some(sentences: int) -> Iterator[tuple[int, str]]:
    for number in range(sentences):
        yield number, " ".join(_random.choices(_words, k=12)).capitalize() + "."


# --- The worker ----------------------------------------------------------------------------------------------------


def work(folder: Path, seconds: float, index_url: str) -> None:
    """Accepts and works off the files of a folder, in a process of its own; tells how far it is, a line at a time.

    Args:
        index_url: Of a server; without one neither encoder nor index is real, and `seconds` bounds nothing.
    """
    index = IndexSettings(mode="server", url=index_url) if index_url else IndexSettings()
    with (
        tempfile.TemporaryDirectory() as data_dir,
        Runtime(Settings(data_dir=Path(data_dir), index=index)) as runtime,
    ):
        if not index_url:
            runtime.encoder = _Encoder()  # type: ignore[assignment]
            runtime.store = _Index()  # type: ignore[assignment]
        runtime.encoder.warm_up()
        embedded = _count(runtime.encoder)
        print(json.dumps({"state": "ready"}), flush=True)
        paths = sorted(folder.iterdir())
        for first in range(0, len(paths), JOB):
            documents = [NewDocument(path, path.name, path.name) for path in paths[first : first + JOB]]
            runtime.ingestion.accept(DEFAULT_TENANT, documents)
        print(json.dumps({"state": "accepted"}), flush=True)
        stop = threading.Event()
        if index_url:
            timer = threading.Timer(seconds, stop.set)
            timer.daemon = True
            timer.start()
            threading.Thread(target=_end_with, args=(runtime, stop, embedded), daemon=True).start()
        runtime.ingestion.work(stop=stop)
        _tell(runtime, embedded)


def _count(encoder: Any) -> list[int]:
    """Counts the passages that go through an encoder."""
    embed, passages = encoder.embed, [0]

    def counted(texts: Any) -> Any:
        passages[0] += len(texts)
        return embed(texts)

    encoder.embed = counted
    return passages


def _end_with(runtime: Runtime, stop: threading.Event, embedded: list[int]) -> None:
    """A document that is begun is finished as a rule; one of hours is not waited for."""
    stop.wait()
    _tell(runtime, embedded)
    psutil.Process().kill()


def _tell(runtime: Runtime, embedded: list[int]) -> None:
    documents = {str(status): number for status, number in runtime.ledger.counts().documents.items() if number}
    print(json.dumps({"state": "ended", "documents": documents, "passages": embedded[0]}), flush=True)


class _Encoder:
    """Gives vectors that say nothing."""

    fingerprint, dim = "none", 384

    def warm_up(self) -> None:
        """Nothing to load."""

    def embed(self, texts: Sequence[str]) -> Embeddings:
        return Embeddings(np.ones((len(texts), self.dim), np.float32), Usage())


class _Index:
    """Counts passages and keeps none."""

    build = "none"

    def __init__(self) -> None:
        self._passages = 0

    def write(self, passages: Sequence[EmbeddedPassage]) -> None:
        self._passages += len(passages)

    def written(self, version: DocumentVersion) -> frozenset[str]:
        return frozenset()

    def publish(self, version: DocumentVersion, passages: int | None = None) -> int:
        return passages or self._passages

    def published(self, document_id: str) -> None:
        return None

    def delete(self, document_id: str, *, tenant: str | None = None) -> int:
        return 0

    def discard(self, version: DocumentVersion) -> None:
        """Nothing to remove."""


# --- Watching it ---------------------------------------------------------------------------------------------------


def watch(case: str, folder: Path, run: str, seconds: float, index_url: str) -> dict[str, Any]:
    """Runs a case in a process of its own, and samples its memory."""
    command = [sys.executable, "-m", "benchmarks.ingest_memory", "--work", str(folder), str(seconds)]
    command.append(index_url)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    told: list[dict[str, Any]] = []

    def listen(lines: Any) -> None:
        for line in lines:
            told.append({**json.loads(line), "at": time.monotonic()})

    listener = threading.Thread(target=listen, args=(process.stdout,))
    listener.start()
    samples: list[tuple[float, float, float]] = []
    while process.poll() is None:
        samples.append((time.monotonic(), *_memory(process.pid)))
        time.sleep(SAMPLE_S)
    listener.join()
    at = {each["state"]: each["at"] for each in told}
    if "ended" not in at:
        raise SystemExit(f"the worker failed in the case {case}, {run}")
    size = sum(path.stat().st_size for path in folder.iterdir())
    return {
        "case": case,
        "run": run,
        "bytes": size,
        "seconds": {"accept": at["accepted"] - at["ready"], "work": at["ended"] - at["accepted"]},
        "before_mb": _peak(samples, 0, at["ready"]),
        "accept_mb": _peak(samples, at["ready"], at["accepted"]),
        "work_mb": _peak(samples, at["accepted"], at["ended"]),
        "line_mb": _line(samples, at["accepted"], at["ended"]),
        **{name: told[-1][name] for name in ("documents", "passages")},
    }


def _memory(pid: int) -> tuple[float, float]:
    """Own and resident memory of a process and its children, in MB."""
    own = resident = 0
    try:
        processes = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0.0, 0.0
    for process in processes:
        try:
            lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text("ascii").splitlines()
        except OSError:
            continue
        fields = {line.split(":")[0]: int(line.split()[1]) for line in lines[1:]}
        own += fields["Anonymous"] * 1024
        resident += fields["Rss"] * 1024
    return own / MIB, resident / MIB


def _peak(samples: list[tuple[float, float, float]], begin: float, end: float) -> dict[str, float]:
    near = min(samples, key=lambda each: abs(each[0] - (begin + end) / 2))  # a short phase may have no sample
    some = [each for each in samples if begin <= each[0] <= end] or [near]
    return {"own": max(each[1] for each in some), "rss": max(each[2] for each in some)}


def _line(samples: list[tuple[float, float, float]], begin: float, end: float) -> list[dict[str, float]]:
    step = (end - begin) / PARTS
    return [_peak(samples, begin + part * step, begin + (part + 1) * step) for part in range(PARTS)]


def show(run: dict[str, Any]) -> None:
    """Prints a run."""
    taken = run["seconds"]
    print(f"{run['case']}, {run['run']}: {run['bytes'] / 1e6:,.0f} MB, {run['documents']}, ", end="")
    print(f"{run['passages']:,} passages; accepted in {taken['accept']:.0f} s, worked for {taken['work']:.0f} s")
    for name in ("own", "rss"):
        line = " ".join(f"{part[name]:5.0f}" for part in run["line_mb"])
        before, accept, work = (run[phase][name] for phase in ("before_mb", "accept_mb", "work_mb"))
        print(f"  {name} MB: {before:.0f} before, {accept:.0f} accepting, {work:.0f} working; over time {line}")


if __name__ == "__main__":
    main()
