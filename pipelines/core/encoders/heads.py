"""Heads at work: pairs of texts in, logits out."""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from pipelines.core.encoders.adapter import read_tensors
from pipelines.core.encoders.engine import Engine, States
from pipelines.core.encoders.pairs import Pair, PairReader, Window
from pipelines.core.encoders.scheduler import scheduler
from pipelines.core.encoders.spec import HEAD_FILE, HeadSpec
from pipelines.core.types import Usage

UNREAD = -30.0
"""The logit of a span of which the tokenizer kept nothing: as good as certainly not. Training has the same."""

Logits = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class HeadScores:
    """What a head says of some pairs, in their order.

    Attributes:
        pairs: `(n, pair_labels)` logits.
        spans: For each pair `(its spans, span_labels)` logits.
    """

    pairs: Logits
    spans: tuple[Logits, ...]
    usage: Usage


@dataclass(frozen=True, slots=True)
class HeadLayers:
    """The linear layers of a head: `(labels, features)` and `(labels,)` each."""

    pair_weight: Logits
    pair_bias: Logits
    span_weight: Logits
    span_bias: Logits

    @classmethod
    def read(cls, folder: Path, spec: HeadSpec, dim: int) -> Self:
        """Reads a head's folder.

        Raises:
            OSError: there is no such file.
            ValueError: its tensors do not fit the head's labels.
        """
        tensors = read_tensors(folder / HEAD_FILE)
        layers = []
        for part, labels, width in (("pair", spec.pair_labels, 2 * dim), ("span", spec.span_labels, dim)):
            for name, shape in ((f"{part}.weight", (len(labels), width)), (f"{part}.bias", (len(labels),))):
                tensor = tensors.get(name, np.zeros((0, *shape[1:]), np.float32))
                if tensor.shape != shape:
                    raise ValueError(f"{HEAD_FILE}: {name} is {tensor.shape}, not {shape}")
                layers.append(tensor)
        return cls(*layers)

    def logits(self, window: Window, states: States) -> tuple[Logits, Logits]:
        """Logits `(pair_labels,)` of a window's pair, and `(spans in it, span_labels)`."""
        second = states[window.second_at : len(window.ids)].mean(axis=0)
        pair = self.pair_weight @ np.concatenate((states[0], second)) + self.pair_bias
        if not window.spans:
            return pair, np.zeros((0, len(self.span_bias)), np.float32)
        means = np.stack([states[start:end].mean(axis=0) for _, start, end in window.spans])
        return pair, means @ self.span_weight.T + self.span_bias


class Head:
    """One head: its encoder with the adapter merged, and its linear layers. Threads may share it."""

    def __init__(
        self, spec: HeadSpec, engine: Engine, reader: PairReader, layers: HeadLayers, batch_tokens: int
    ) -> None:
        self.spec = spec
        self._engine, self._reader, self._layers, self._budget = engine, reader, layers, batch_tokens

    @property
    def name(self) -> str:
        """How receipts name it."""
        return f"encoder/{self.spec.name}@{self.spec.version}"

    @property
    def how(self) -> str:
        """What runs it, such as `openvino int8`."""
        return self._engine.how

    @property
    def size_bytes(self) -> int:
        """Its weights; see `Engine.size_bytes`."""
        layers = self._layers
        own = (layers.pair_weight, layers.pair_bias, layers.span_weight, layers.span_bias)
        return self._engine.size_bytes + sum(layer.nbytes for layer in own)

    def score(self, pairs: Sequence[Pair]) -> HeadScores:
        """Scores pairs, windows of like length together. The highest logits of a pair's windows count."""
        started = time.perf_counter()
        spans = [np.full((len(pair.spans), len(self.spec.span_labels)), UNREAD, np.float32) for pair in pairs]
        whole = np.full((len(pairs), len(self.spec.pair_labels)), UNREAD, np.float32)
        merging = threading.Lock()

        def take(window: Window, states: States) -> None:
            pair, parts = self._layers.logits(window, states)
            with merging:
                np.maximum(whole[window.pair], pair, out=whole[window.pair])
                for (span, _, _), row in zip(window.spans, parts, strict=True):
                    np.maximum(spans[window.pair][span], row, out=spans[window.pair][span])

        windows = self._reader.windows(pairs)
        tokens = sum(len(window.ids) for window in windows)
        request = scheduler().request(
            self._engine, self._reader.pad_id, take, weight=sum(len(pair.second) for pair in pairs), budget=self._budget
        )
        request.add(windows)
        request.wait()
        elapsed_ms = (time.perf_counter() - started) * 1000
        usage = Usage(calls=1, tokens_in=tokens, model_ms=elapsed_ms) if pairs else Usage()
        return HeadScores(whole, tuple(spans), usage)
