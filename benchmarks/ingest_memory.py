"""Memory of an ingest worker over time: one large text file, and many small ones.

Embedding 500 MB takes hours on two cores, and no memory: a batch of passages is what the encoder sees at a time. So
each case runs twice. With `hash` the whole of it goes through the real path — accepted, read, split, written to the
index, published — and only the encoder is the tests' stand-in. With `real` the same begins with the real encoder and
is stopped after `--seconds`; if the path before and behind it leaked, the line would rise.

The index is the tests' stand-in for a Qdrant server, in a process that is not measured: a worker's memory is meant.
With `--index embedded` the engine is in the worker, and holds what it has indexed.

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
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import psutil

from pipelines.core.settings import IndexSettings, Settings
from pipelines.core.types import DEFAULT_TENANT
from services.intake import NewDocument
from services.runtime import Runtime
from tests.support.hash_encoder import HashEncoder
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
    parser.add_argument("--encoder", choices=("hash", "real", "both"), default="both")
    parser.add_argument("--index", choices=("server", "embedded"), default="server")
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    parser.add_argument("--work", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        work(Path(arguments.work[0]), arguments.work[1], float(arguments.work[2]), arguments.work[3])
        return
    figures = []
    with tempfile.TemporaryDirectory() as root:
        for case in ("text", "files"):
            folder = Path(root) / case
            folder.mkdir()
            write_text(folder, arguments.mb) if case == "text" else write_files(folder, arguments.files)
            for encoder in ("hash", "real") if arguments.encoder == "both" else (arguments.encoder,):
                with Qdrant() if arguments.index == "server" else nullcontext() as server:
                    seconds = arguments.seconds if encoder == "real" else 0.0
                    figures.append(watch(case, folder, encoder, seconds, server.url if server else ""))
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


def work(folder: Path, encoder: str, seconds: float, index_url: str) -> None:
    """Accepts and works off the files of a folder, in a process of its own; tells how far it is, a line at a time."""
    index = IndexSettings(mode="server", url=index_url) if index_url else IndexSettings()
    with (
        tempfile.TemporaryDirectory() as data_dir,
        Runtime(Settings(data_dir=Path(data_dir), index=index)) as runtime,
    ):
        if encoder == "hash":
            runtime.encoder = HashEncoder()  # type: ignore[assignment]
        runtime.encoder.warm_up()
        embedded = _count(runtime.encoder)
        print(json.dumps({"state": "ready"}), flush=True)
        paths = sorted(folder.iterdir())
        for first in range(0, len(paths), JOB):
            documents = [NewDocument(path, path.name, path.name) for path in paths[first : first + JOB]]
            runtime.ingestion.accept(DEFAULT_TENANT, documents)
        print(json.dumps({"state": "accepted"}), flush=True)
        stop = threading.Event()
        timer = threading.Timer(seconds, stop.set) if seconds else None
        if timer:
            timer.daemon = True
            timer.start()
            threading.Thread(target=_end_with, args=(runtime, stop, embedded), daemon=True).start()
        runtime.ingestion.work(stop=stop)
        _tell(runtime, embedded)


def _count(encoder: Any) -> list[int]:
    """Counts the passages that go through an encoder; the tests' one forgets their texts."""
    embed, passages = encoder.embed, [0]

    def counted(texts: Any) -> Any:
        passages[0] += len(texts)
        found = embed(texts)
        if isinstance(encoder, HashEncoder):
            encoder.texts.clear()
        return found

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


# --- Watching it ---------------------------------------------------------------------------------------------------


def watch(case: str, folder: Path, encoder: str, seconds: float, index_url: str) -> dict[str, Any]:
    """Runs a case in a process of its own, and samples its memory."""
    command = [sys.executable, "-m", "benchmarks.ingest_memory", "--work", str(folder), encoder, str(seconds)]
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
        raise SystemExit(f"the worker failed in the case {case}, {encoder}")
    size = sum(path.stat().st_size for path in folder.iterdir())
    return {
        "case": case,
        "encoder": encoder,
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
    some = [each for each in samples if begin <= each[0] <= end] or samples[-1:]
    return {"own": max(each[1] for each in some), "rss": max(each[2] for each in some)}


def _line(samples: list[tuple[float, float, float]], begin: float, end: float) -> list[dict[str, float]]:
    step = (end - begin) / PARTS
    return [_peak(samples, begin + part * step, begin + (part + 1) * step) for part in range(PARTS)]


def show(run: dict[str, Any]) -> None:
    """Prints a run."""
    taken = run["seconds"]
    print(f"{run['case']}, encoder {run['encoder']}: {run['bytes'] / 1e6:,.0f} MB, {run['documents']}, ", end="")
    print(f"{run['passages']:,} passages; accepted in {taken['accept']:.0f} s, worked for {taken['work']:.0f} s")
    for name in ("own", "rss"):
        line = " ".join(f"{part[name]:5.0f}" for part in run["line_mb"])
        before, accept, work = (run[phase][name] for phase in ("before_mb", "accept_mb", "work_mb"))
        print(f"  {name} MB: {before:.0f} before, {accept:.0f} accepting, {work:.0f} working; over time {line}")


if __name__ == "__main__":
    main()
