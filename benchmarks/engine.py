"""The encoder engine: passages a second beside sentence-transformers' default, one query, memory, precision.

Usage: python -m benchmarks.engine --data DIR [--part speed|precision] [--passages 600] [--rounds 3] [--documents N]
       [--work-dir DIR] [--json FILE]

The same passages, taken from mtrag, go in turns through `SentenceTransformer(...).encode` with its defaults, through
the bare engine on batches that were tokenised and padded before, and through the whole document path (convert, split,
embed, write) from files of eight sections into a new index. The precision part is in `benchmarks/precision.py`.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks import precision
from indexing.identity import document_id, document_version
from indexing.ingest import ingest
from indexing.stream import Indexed, Outcome, Submission
from pipelines.core.encoders import Encoder
from pipelines.core.encoders.engine import Engine
from pipelines.core.encoders.engines import open_engine
from pipelines.core.encoders.pairs import Batch, Window
from pipelines.core.encoders.source import builtin_folder, max_tokens, tokenizer
from pipelines.core.settings import EncoderSettings, Settings
from pipelines.core.types import DEFAULT_TENANT
from services.evaluation.data.sets import EvaluationSet, load
from services.evaluation.provenance import provenance
from services.evaluation.statistics import median, spread
from services.runtime import Runtime

SEED = 7
SECTIONS = 8
"""Passages of the set that make one document, a section each."""
QUERIES = 200
TIMES_DEFAULT, SHARE_OF_BARE, QUERY_MS, NDCG_LOST = 3.5, 0.85, 6.0, 0.005
MEMORY = (
    "from pathlib import Path\n"
    "def mib(): return int(Path('/proc/self/status').read_text().split('RssAnon:')[1].split()[0]) / 1024\n"
    "from pipelines.core.encoders import Encoder; from pipelines.core.settings import EncoderSettings\n"
    "import numpy; before = mib(); encoder = Encoder(EncoderSettings()); encoder.warm_up(); print(mib() - before)\n"
)


class WholePath:
    """The document path from files into a new index, with an encoder that is warm."""

    def __init__(self, evaluated: EvaluationSet, passages: int) -> None:
        rows = random.Random(SEED).sample([row for row in evaluated.corpus() if row.text.strip()], passages)
        sections = [f"## {row.title or row.id}\n\n{row.text}\n" for row in rows]
        self._documents = ["\n".join(sections[at : at + SECTIONS]) for at in range(0, len(sections), SECTIONS)]
        self._encoder = Encoder(EncoderSettings())
        self._encoder.warm_up()
        self.texts: list[str] = []

    def __call__(self) -> float:
        """Runs once; returns passages a second."""
        with tempfile.TemporaryDirectory() as folder, Runtime(Settings(data_dir=Path(folder))) as runtime:
            runtime.encoder = self._encoder
            submissions = [self._submission(runtime, *each) for each in enumerate(self._documents)]
            outcomes: list[Outcome] = []
            _ = runtime.ingest_pipeline
            ingest(runtime.ingest_pipeline, submissions[:1], outcomes.append)  # starts the converter's process
            started = time.perf_counter()
            ingest(runtime.ingest_pipeline, submissions[1:], outcomes.append)
            elapsed_s = time.perf_counter() - started
            ids = [each.submission.document_id for each in outcomes if isinstance(each, Indexed)][1:]
            found = [passage for each in ids for passage in runtime.store.passages(each)]
        self.texts = [f"{passage.context}\n{passage.text}" for passage in found]
        return len(found) / elapsed_s

    def _submission(self, runtime: Runtime, number: int, text: str) -> Submission:
        blob = runtime.blobs.put([text.encode()])
        name = f"{number}.md"
        version = document_version(
            blob.sha256, name, {}, split=runtime.settings.split, encoder=runtime.encoder.fingerprint
        )
        return Submission(document_id(DEFAULT_TENANT, name), DEFAULT_TENANT, name, version, blob.key, name)


def bare_engine(texts: Sequence[str]) -> Callable[[], float]:
    """Runs the engine on batches that are there already, two in flight as in service."""
    folder, settings = builtin_folder(), EncoderSettings()
    engine: Engine = open_engine(folder, settings, list)  # converted before, so it needs no samples
    encoded = sorted(tokenizer(folder, max_tokens(folder)).encode_batch(list(texts)), key=lambda each: len(each.ids))
    batches: list[list[Window]] = [[]]
    for each in encoded:
        if len(each.ids) * (len(batches[-1]) + 1) > settings.batch_tokens:
            batches.append([])
        batches[-1].append(Window(0, tuple(each.ids), len(each.ids), ()))
    padded = [Batch.of(windows, pad_id=0) for windows in batches if windows]

    def run() -> float:
        started = time.perf_counter()
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda batch: engine.forward(batch.ids, batch.mask, batch.types) is None, padded))
        return len(texts) / (time.perf_counter() - started)

    return run


def library(texts: Sequence[str]) -> Callable[[], float]:
    """sentence-transformers with its defaults, whatever it says on the screen turned off."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(builtin_folder()), device="cpu", local_files_only=True)
    model.encode(list(texts[:8]), show_progress_bar=False)

    def run() -> float:
        started = time.perf_counter()
        model.encode(list(texts), show_progress_bar=False)
        return len(texts) / (time.perf_counter() - started)

    return run


def speed(evaluated: EvaluationSet, passages: int, rounds: int) -> dict[str, Any]:
    """Rounds of all three in turns; the ratios are of the same round."""
    path = WholePath(evaluated, passages)
    path()
    arms = {"sentence-transformers": library(path.texts), "bare engine": bare_engine(path.texts), "whole path": path}
    arms["bare engine"]()
    rates = [{name: run() for name, run in arms.items()} for _ in range(rounds)]
    encoder, questions = Encoder(EncoderSettings()), [item.question for item in evaluated.items]
    times = []
    for number in range(QUERIES + 20):
        started = time.perf_counter()
        encoder.embed([questions[number % len(questions)]])
        times.append((time.perf_counter() - started) * 1000)
    query = spread(times[20:])
    return {
        "engine": encoder.how,
        "passages": len(path.texts),
        "passages_per_s": {name: [round(each[name], 1) for each in rates] for name in arms},
        "whole_path_to_default": [each["whole path"] / each["sentence-transformers"] for each in rates],
        "whole_path_to_bare": [each["whole path"] / each["bare engine"] for each in rates],
        "query_ms": {"p50": query.p50, "p95": query.p95},
        "encoder_mib": _memory_mib(),
    }


def _memory_mib() -> float:
    """Memory of its own that loading the encoder takes from a new process; the word vectors are shared beside it."""
    done = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True)
    return float(done.stdout)


def report(figures: dict[str, Any]) -> str:
    """The speed figures as lines, with what is aimed at."""
    times, share = (median(figures[name]) for name in ("whole_path_to_default", "whole_path_to_bare"))
    lines = [f"{figures['engine']}, {figures['passages']:,} passages; passages a second, round by round"]
    lines += [
        f"  {name:24}" + "".join(f"{rate:9.1f}" for rate in each) for name, each in figures["passages_per_s"].items()
    ]
    lines += [
        f"whole path: {times:.2f} x sentence-transformers' default (aim {TIMES_DEFAULT})",
        f"whole path: {share:.1%} of the bare engine (aim {SHARE_OF_BARE:.0%})",
        f"one query: p50 {figures['query_ms']['p50']:.2f} ms, p95 {figures['query_ms']['p95']:.2f} ms (aim {QUERY_MS})",
        f"memory of the encoder: {figures['encoder_mib']:.0f} MiB",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds mtrag/ and nq_gold/")
    parser.add_argument("--part", choices=("speed", "precision"), help="only this")
    parser.add_argument("--passages", type=int, default=600, help="passages of mtrag")
    parser.add_argument("--documents", type=int, help="precision: documents beside the gold ones, instead of all")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--work-dir", type=Path, default=Path(".strata/evaluation"), help="where vectors are kept")
    parser.add_argument("--json", type=Path, help="where to write the result")
    arguments = parser.parse_args()

    result: dict[str, Any] = {"seed": SEED, "split": "dev", "provenance": provenance()}
    if arguments.part != "precision":
        result["speed"] = speed(load("mtrag", arguments.data, "dev"), arguments.passages, arguments.rounds)
        print(report(result["speed"]), flush=True)
    if arguments.part != "speed":
        sets = [load(name, arguments.data, "dev") for name in ("nq_gold", "mtrag")]
        settings, limit = EncoderSettings(), arguments.documents
        found = [precision.lost(each, settings, arguments.work_dir, SEED, documents=limit) for each in sets]
        result["precision"] = precision.as_json(found)
        print(f"nDCG@{precision.K} of dense retrieval (aim: at most {NDCG_LOST} lost)\n{precision.table(found)}")
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
