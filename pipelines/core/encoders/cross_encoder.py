"""A cross-encoder of one's own: any sentence-transformers one by name or folder, two texts in, logits out."""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipelines.core.encoders.engine import Engine, States
from pipelines.core.encoders.pairs import Window
from pipelines.core.encoders.scheduler import scheduler
from pipelines.core.encoders.source import find, max_tokens, tokenizer, unloadable
from pipelines.core.settings import EncoderSettings
from pipelines.core.types import Usage

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Texts = tuple[str, str]


@dataclass(frozen=True, slots=True)
class CrossScores:
    """`(n, labels) float32` logits of pairs in their order, and what making them took."""

    logits: NDArray[np.float32]
    usage: Usage


class CrossEncoder:
    """Scores pairs of texts. Building one is free; the model loads on first use. Threads share it."""

    def __init__(self, settings: EncoderSettings) -> None:
        self._settings = settings
        self._loading = threading.Lock()
        self._loaded: tuple[Tokenizer, Engine] | None = None

    @property
    def name(self) -> str:
        """The model's name, as receipts show it."""
        return f"encoder/{self._settings.model}"

    def score(self, pairs: Sequence[Texts]) -> CrossScores:
        """Scores pairs; one that is too long is cut, the longer text first.

        Raises:
            ConfigurationError: the model cannot be loaded.
        """
        made, engine = self._model
        started = time.perf_counter()
        logits = np.zeros((len(pairs), engine.dim), np.float32)

        def take(window: Window, states: States) -> None:
            logits[window.pair] = states

        windows = _windows(made, pairs)
        weight = sum(len(first) + len(second) for first, second in pairs)
        request = scheduler().request(engine, 0, take, weight=weight, budget=self._settings.batch_tokens)
        request.add(windows)
        request.wait()
        elapsed_ms = (time.perf_counter() - started) * 1000
        tokens = sum(len(window.ids) for window in windows)
        return CrossScores(logits, Usage(calls=1, tokens_in=tokens, model_ms=elapsed_ms) if pairs else Usage())

    @property
    def _model(self) -> "tuple[Tokenizer, Engine]":
        if self._loaded is None:
            with self._loading:
                self._loaded = self._loaded or self._load()
        return self._loaded

    def _load(self) -> "tuple[Tokenizer, Engine]":
        from pipelines.core.encoders.conversion import calibration_lines
        from pipelines.core.encoders.engines import open_engine

        folder = find(self._settings.model)
        try:
            made = tokenizer(folder, max_tokens(folder))

            def samples() -> list[Window]:
                return _windows(made, [(line[:80], line) for line in calibration_lines()])

            return made, open_engine(folder, self._settings, samples, kind="classifier")
        except (OSError, ValueError) as error:
            raise unloadable(self._settings.model, error) from error


def _windows(made: "Tokenizer", pairs: Sequence[Texts]) -> list[Window]:
    encoded = made.encode_batch(list(pairs))
    return [
        Window(place, tuple(each.ids), each.type_ids.index(1) if 1 in each.type_ids else len(each.ids), ())
        for place, each in enumerate(encoded)
    ]
