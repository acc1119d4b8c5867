"""Heads at work: pairs of texts in, logits out."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from pipelines.core.encoders.engine import Engine, States
from pipelines.core.encoders.pairs import Batch, Pair, PairReader, Window
from pipelines.core.encoders.spec import HEAD_FILE, HeadSpec
from pipelines.core.types import Usage

BATCH_TOKENS = 4096
"""Tokens of one forward pass, padding included."""
UNREAD = -30.0
"""The logit of a span of which the tokenizer kept nothing: as good as certainly not."""

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
        from safetensors.numpy import load_file

        tensors = load_file(folder / HEAD_FILE)
        layers = []
        for part, labels, width in (("pair", spec.pair_labels, 2 * dim), ("span", spec.span_labels, dim)):
            for name, shape in ((f"{part}.weight", (len(labels), width)), (f"{part}.bias", (len(labels),))):
                tensor = tensors.get(name, np.zeros((0, *shape[1:])))
                if tensor.shape != shape:
                    raise ValueError(f"{HEAD_FILE}: {name} is {tensor.shape}, not {shape}")
                layers.append(tensor.astype(np.float32))
        return cls(*layers)


class Head:
    """One head: its encoder with the adapter merged, and its linear layers. Threads may share it."""

    def __init__(self, spec: HeadSpec, engine: Engine, reader: PairReader, layers: HeadLayers) -> None:
        self.spec = spec
        self._engine, self._reader, self._layers = engine, reader, layers

    @property
    def name(self) -> str:
        """How receipts name it."""
        return f"encoder/{self.spec.name}@{self.spec.version}"

    def score(self, pairs: Sequence[Pair]) -> HeadScores:
        """Scores pairs, windows of like length together. The highest logits of a pair's windows count."""
        started = time.perf_counter()
        scores = [np.full((len(pair.spans), len(self.spec.span_labels)), -np.inf, np.float32) for pair in pairs]
        whole = np.full((len(pairs), len(self.spec.pair_labels)), -np.inf, np.float32)
        tokens = 0
        for batch in self._batches(pairs):
            states = self._engine.forward(batch.ids, batch.mask, batch.types)
            tokens += int(batch.mask.sum())
            for window, vectors in zip(batch.windows, states, strict=True):
                self._read(window, vectors, whole[window.pair], scores[window.pair])
        spans = tuple(np.where(np.isneginf(each), np.float32(UNREAD), each) for each in scores)
        elapsed_ms = (time.perf_counter() - started) * 1000
        usage = Usage(calls=1, tokens_in=tokens, model_ms=elapsed_ms) if pairs else Usage()
        return HeadScores(whole, spans, usage)

    def _batches(self, pairs: Sequence[Pair]) -> Iterator[Batch]:
        ordered = sorted(self._reader.windows(pairs), key=lambda window: len(window.ids))
        some: list[Window] = []
        for window in ordered:
            if some and len(window.ids) * (len(some) + 1) > BATCH_TOKENS:
                yield Batch.of(some, self._reader.pad_id)
                some = []
            some.append(window)
        if some:
            yield Batch.of(some, self._reader.pad_id)

    def _read(self, window: Window, vectors: States, whole: Logits, spans: Logits) -> None:
        """Raises the logits of one window's pair and spans."""
        layers = self._layers
        second = vectors[window.second_at : len(window.ids)].mean(axis=0)
        features = np.concatenate((vectors[0], second))
        np.maximum(whole, layers.pair_weight @ features + layers.pair_bias, out=whole)
        if not window.spans or not layers.span_bias.size:
            return
        means = np.stack([vectors[start:end].mean(axis=0) for _, start, end in window.spans])
        logits = means @ layers.span_weight.T + layers.span_bias
        for (span, _, _), row in zip(window.spans, logits, strict=True):
            np.maximum(spans[span], row, out=spans[span])
