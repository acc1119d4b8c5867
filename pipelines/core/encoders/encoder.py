"""The in-process sentence encoder: texts in, unit vectors out."""

import os
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import cached_property
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipelines.core.encoders.source import BUILTIN, BUILTIN_DIM, BUILTIN_NAME, builtin_folder, fingerprint
from pipelines.core.errors import ConfigurationError
from pipelines.core.settings import EncoderSettings
from pipelines.core.types import Usage

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer

HUB_TIMEOUT_S = 10.0
"""A hub is asked once whether it has a model: its client tries for minutes where it cannot be reached."""


@dataclass(frozen=True, slots=True)
class Embeddings:
    """Vectors of some texts, `(n, dim) float32` and L2-normalised, and what making them took."""

    vectors: NDArray[np.float32]
    usage: Usage


class Encoder:
    """Embeds texts with a sentence-transformers model, batched by length.

    Building one is free; the model loads on `warm_up` or first use. Safe to share between threads: their batches take
    turns, since a forward pass already uses every core.
    """

    def __init__(self, settings: EncoderSettings) -> None:
        self._settings = settings
        self._loading = threading.Lock()
        # One thread for all forward passes: OpenMP starts a team of threads for every thread that asks for one.
        self._thread = ThreadPoolExecutor(1, "strata-encoder")
        self._loaded: SentenceTransformer | None = None

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
        if self._settings.model == BUILTIN:
            return BUILTIN_DIM
        dim = self._model.get_embedding_dimension()
        if dim is None:
            raise ConfigurationError(f"encoder.model: {self._settings.model} gives no sentence vectors")
        return dim

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
        vectors = np.empty((len(texts), self.dim), np.float32)
        order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
        tokens = 0
        started = time.perf_counter()
        for first in range(0, len(order), self._settings.batch_size):
            batch = order[first : first + self._settings.batch_size]
            vectors[batch], taken = self._thread.submit(_forward, model, [texts[index] for index in batch]).result()
            tokens += taken
        elapsed_ms = (time.perf_counter() - started) * 1000
        return Embeddings(vectors, Usage(calls=1, tokens_in=tokens, model_ms=elapsed_ms))

    @property
    def _model(self) -> "SentenceTransformer":
        if self._loaded is None:
            with self._loading:
                self._loaded = self._loaded or self._load()
        return self._loaded

    def _load(self) -> "SentenceTransformer":
        source = self._settings.model
        if source == BUILTIN:
            source = str(builtin_folder())
        if Path(source).is_dir():
            # A folder needs no hub: start-up must not depend on reaching one.
            os.environ.setdefault("HF_HUB_OFFLINE", "1")
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        import httpx
        import torch
        from transformers.utils import logging as transformers_logging

        transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        if self._settings.threads:
            torch.set_num_threads(self._settings.threads)
        dtype = torch.bfloat16 if self._bfloat16() else torch.float32
        try:
            with redirect_stdout(StringIO()):
                return self._open(source, dtype).eval()
        except (OSError, ValueError, httpx.HTTPError) as error:
            raise ConfigurationError(
                f"encoder.model: cannot load {self._settings.model!r} ({(str(error).splitlines() or [''])[0]}); "
                "name a folder, or `builtin`, or a model that the hub has"
            ) from error

    def _open(self, source: str, dtype: "torch.dtype") -> "SentenceTransformer":
        """From the folder or the hub's cache where it is there, so that starting does not depend on the hub."""
        from huggingface_hub import model_info
        from sentence_transformers import SentenceTransformer

        options: dict[str, Any] = {"device": self._settings.device, "model_kwargs": {"dtype": dtype}}
        try:
            return SentenceTransformer(source, local_files_only=True, **options)
        except (OSError, ValueError):
            if Path(source).is_dir():
                raise
        model_info(source, timeout=HUB_TIMEOUT_S)
        return SentenceTransformer(source, **options)

    def _bfloat16(self) -> bool:
        if self._settings.precision != "auto":
            return self._settings.precision == "bfloat16"
        import torch

        if self._settings.device != "cpu":
            return False
        # Twice to four times the passages a second of float32, cosine to it >= .999 (MiniLM, AVX512-BF16, two cores).
        return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def _forward(model: "SentenceTransformer", texts: list[str]) -> tuple[NDArray[np.float32], int]:
    """The vectors of one batch, and its tokens."""
    import torch

    with torch.inference_mode():
        features = model.preprocess(texts)
        tokens = int(features["attention_mask"].sum())
        sentence = model({key: _to(value, model.device) for key, value in features.items()})["sentence_embedding"]
        return torch.nn.functional.normalize(sentence.float(), dim=1).cpu().numpy(), tokens


def _to(value: Any, device: Any) -> Any:
    return value.to(device) if hasattr(value, "to") else value
