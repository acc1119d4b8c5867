"""Forward passes by OpenVINO on a CPU."""

import os
import queue
import sys
import threading
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.core.encoders.engine import PASSES, Ids, States
from pipelines.core.settings import EncoderSettings

if TYPE_CHECKING:
    import openvino

MODEL_FILE = "model.xml"
WORDS_FILE = "words.npy"
SHAPES_KEPT = 64
"""Kernels kept ready by shape: 170 to 200 MiB a process. Unbounded, 670 MiB after 120 shapes, and still growing."""
PRIMITIVES_KEPT = 256
"""Of oneDNN, in all of a process. 64 were enough for about six shapes of an int8 pass, and a question took 6 % more of
the processor. Over 45 questions of nq_gold dev 256 take 5 MiB more than 64, after 120 shapes at random 18 to 45 MiB;
512 took 66 to 88 MiB (November 2026)."""
VNNI = {"avx512_vnni", "avx_vnni", "amx_int8"}
"""Processors with one of these multiply int8 faster than bfloat16."""
_FIRST = threading.Lock()
"""A process's first pass is alone: OpenVINO's bindings fill tables then, and two threads that do so wait for each other
for ever, one with the interpreter's lock and one with the table's."""


class OpenVinoEngine:
    """Runs a converted model. The matrix of word vectors lies outside of it, a file that processes and heads share.

    Args:
        words: `(vocabulary, dim) float32`, mapped from its file.
    """

    prepares_shapes = True

    def __init__(self, folder: Path, words: States, precision: str, settings: EncoderSettings) -> None:
        self._words = words
        compiled = core().compile_model(folder / MODEL_FILE, "CPU", _options(precision, settings))
        self._named = {each.get_any_name() for each in compiled.inputs}
        self.dim: int = compiled.outputs[0].get_partial_shape()[-1].get_length()
        self.how = f"openvino {precision}"
        self.size_bytes = (folder / MODEL_FILE).with_suffix(".bin").stat().st_size
        self._compiled = compiled
        self._idle: queue.SimpleQueue[openvino.InferRequest] = queue.SimpleQueue()
        with _FIRST:
            one = np.ones((1, 1), np.int64)
            self.forward(one, one, one)

    def forward(self, ids: Ids, mask: Ids, types: Ids) -> States:
        """See `Engine.forward`."""
        inputs: dict[str, Any] = {"embeds": self._words[ids], "mask": mask, "types": types}
        request = self._request()
        try:
            states: States = request.infer({name: inputs[name] for name in self._named}, share_inputs=True)[0]
        finally:
            self._idle.put(request)
        return states

    def _request(self) -> "openvino.InferRequest":
        try:
            return self._idle.get_nowait()
        except queue.Empty:
            return self._compiled.create_infer_request()


@cache
def core() -> "openvino.Core":
    """OpenVINO, kept from calling home.

    Raises:
        ImportError: it is not installed.
    """
    # OpenVINO and NNCF report their use over the network unless this package is missing.
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    # Read when the first model is compiled. Its default, 1,024, grew a process by 3 MB with every new shape of a batch.
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", str(PRIMITIVES_KEPT))
    import openvino

    return openvino.Core()


def best_precision(*, head: bool) -> str:
    """The fastest that loses next to nothing on this processor.

    MiniLM, two cores with AVX512-VNNI and -BF16, tokens a second (November 2026): float32 14,000, bfloat16 24,000, int8
    with the rest in bfloat16 33,000. For vectors that are ranked, int8 loses nothing that can be seen (`python -m
    benchmarks.engine`). A head's logits meet thresholds: with a spread of .7, int8 moved them by up to .4, bfloat16
    by .05.
    """
    int8 = bool(_flags() & VNNI)
    if _has_bfloat16() and (head or not int8):
        return "bfloat16"
    return "int8" if int8 else "float32"


def _options(precision: str, settings: EncoderSettings) -> dict[str, Any]:
    # What int8 leaves over, attention above all, is fastest in bfloat16 too.
    short = precision == "bfloat16" or (precision == "int8" and _has_bfloat16())
    # An operator who bounds OpenMP's threads means all of them, and OpenVINO has its own.
    threads = settings.threads or int(os.environ.get("OMP_NUM_THREADS", "0").partition(",")[0] or 0)
    return {
        "INFERENCE_PRECISION_HINT": "bf16" if short else "f32",
        "NUM_STREAMS": PASSES,
        "CPU_RUNTIME_CACHE_CAPACITY": SHAPES_KEPT,
        "ENABLE_CPU_PINNING": False,  # other processes use the same cores
        **({"INFERENCE_NUM_THREADS": threads} if threads else {}),
    }


@cache
def _has_bfloat16() -> bool:
    return "BF16" in core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


@cache
def _flags() -> frozenset[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text("ascii", "replace").splitlines()
    except OSError:  # not Linux
        return frozenset()
    return frozenset(next((line.partition(":")[2] for line in lines if line.startswith("flags")), "").split())


def mapped(path: Path) -> States:
    """A matrix in its file: the processes that read it share the memory."""
    words: States = np.load(path, mmap_mode="r")
    return words
