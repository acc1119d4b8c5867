"""The in-process sentence encoder: texts in, unit vectors out."""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipelines.core.encoders.source import BUILTIN, BUILTIN_DIM, BUILTIN_NAME, find, fingerprint, unloadable
from pipelines.core.settings import EncoderSettings
from pipelines.core.types import Usage

if TYPE_CHECKING:
    from pipelines.core.encoders.sentences import SentenceModel


@dataclass(frozen=True, slots=True)
class Embeddings:
    """Vectors of some texts, `(n, dim) float32` and L2-normalised, and what making them took."""

    vectors: NDArray[np.float32]
    usage: Usage


class Encoder:
    """Embeds texts with a sentence-transformers model, batched by length.

    Building one is free; the model loads on `warm_up` or first use. Threads share it, and forward passes.
    """

    def __init__(self, settings: EncoderSettings) -> None:
        self._settings = settings
        self._loading = threading.Lock()
        self._loaded: SentenceModel | None = None

    @property
    def name(self) -> str:
        """The model's name, as receipts show it."""
        return f"encoder/{BUILTIN_NAME if self._settings.model == BUILTIN else self._settings.model}"

    @cached_property
    def fingerprint(self) -> str:
        """Names the weights: indexes built with another fingerprint do not match. Does not load the model."""
        return fingerprint(self._settings.model)

    @cached_property
    def dim(self) -> int:
        """Length of a vector. Loads the model unless it is the built-in one."""
        return BUILTIN_DIM if self._settings.model == BUILTIN else self._model.dim

    @property
    def how(self) -> str:
        """What runs it, such as `openvino int8`. Loads the model."""
        return self._model.how

    def warm_up(self) -> None:
        """Loads the model and runs it once."""
        self.embed(["warm up"])

    def embed(self, texts: Sequence[str]) -> Embeddings:
        """Embeds texts; each is cut at the model's longest input. Order is kept.

        Raises:
            ConfigurationError: the model cannot be loaded.
        """
        if not texts:
            return Embeddings(np.zeros((0, self.dim), np.float32), Usage())
        model = self._model
        started = time.perf_counter()
        vectors, tokens = model.embed(texts)
        elapsed_ms = (time.perf_counter() - started) * 1000
        return Embeddings(vectors, Usage(calls=1, tokens_in=tokens, model_ms=elapsed_ms))

    @property
    def _model(self) -> "SentenceModel":
        if self._loaded is None:
            with self._loading:
                self._loaded = self._loaded or self._load()
        return self._loaded

    def _load(self) -> "SentenceModel":
        from pipelines.core.encoders.sentences import open_sentences

        folder = find(self._settings.model)
        try:
            return open_sentences(folder, self._settings)
        except (OSError, ValueError) as error:
            raise unloadable(self._settings.model, error) from error
