"""How a sentence-transformers model embeds: through an engine, or by the library itself where it does more."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from pipelines.core.encoders import source
from pipelines.core.encoders.conversion import calibration_lines
from pipelines.core.encoders.engine import Engine, States
from pipelines.core.encoders.engines import open_engine
from pipelines.core.encoders.pairs import Window
from pipelines.core.encoders.pooling import Pooling
from pipelines.core.encoders.scheduler import scheduler
from pipelines.core.settings import EncoderSettings

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Vectors = NDArray[np.float32]

CHUNK = 128
"""Texts tokenised at a time: while the engine has one chunk the next is being cut."""
LIBRARY_BATCH = 32


class SentenceModel(Protocol):
    """A model that gives sentence vectors. Threads may share one."""

    @property
    def dim(self) -> int:
        """Length of a vector."""

    @property
    def how(self) -> str:
        """Library and precision."""

    def embed(self, texts: Sequence[str]) -> tuple[Vectors, int]:
        """The vectors of texts, `(n, dim)`, L2-normalised, and their tokens."""


def open_sentences(folder: Path, settings: EncoderSettings) -> SentenceModel:
    """Opens a model.

    Raises:
        OSError, ValueError: the folder has none, or none that gives sentence vectors.
        ConfigurationError: OpenVINO is demanded and cannot run it.
    """
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    pooling = Pooling.read(folder)
    if pooling is None or not (folder / "tokenizer.json").is_file():
        return LibraryModel(folder, settings)
    tokenizer = source.tokenizer(folder, source.max_tokens(folder))
    engine = open_engine(folder, settings, lambda: _windows(tokenizer, calibration_lines()))
    return PooledModel(tokenizer, engine, pooling, settings.batch_tokens)


class PooledModel:
    """Tokenise, transform, pool. Tokenising goes on while the engine works."""

    def __init__(self, tokenizer: "Tokenizer", engine: Engine, pooling: Pooling, batch_tokens: int) -> None:
        self._tokenizer, self._engine, self._pooling = tokenizer, engine, pooling
        self._batch_tokens = batch_tokens
        self.dim = engine.dim * len(pooling.modes)
        self.how = engine.how

    def embed(self, texts: Sequence[str]) -> tuple[Vectors, int]:
        """See `SentenceModel.embed`."""
        vectors = np.empty((len(texts), self.dim), np.float32)
        tokens = 0

        def take(window: Window, states: States) -> None:
            vectors[window.pair] = self._pooling(states[: len(window.ids)])

        size = sum(map(len, texts))
        request = scheduler().request(self._engine, 0, take, weight=size, budget=self._batch_tokens)
        order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
        for first in range(0, len(order), CHUNK):
            chunk = order[first : first + CHUNK]
            windows = _windows(self._tokenizer, [texts[index] for index in chunk], chunk)
            tokens += sum(len(window.ids) for window in windows)
            request.add(windows)
        request.wait()
        return vectors, tokens


class LibraryModel:
    """Whatever sentence-transformers can load, in its own way and on PyTorch."""

    def __init__(self, folder: Path, settings: EncoderSettings) -> None:
        from sentence_transformers import SentenceTransformer

        self._model: SentenceTransformer = SentenceTransformer(
            str(folder), device=settings.device, local_files_only=True, model_kwargs={"dtype": "float32"}
        ).eval()
        dim = self._model.get_embedding_dimension()
        if dim is None:
            raise ValueError("it gives no sentence vectors")
        self.dim: int = dim
        self.how = "sentence-transformers"
        self._thread = ThreadPoolExecutor(1, "strata-torch")

    def embed(self, texts: Sequence[str]) -> tuple[Vectors, int]:
        """See `SentenceModel.embed`."""
        vectors = np.empty((len(texts), self.dim), np.float32)
        tokens = 0
        order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
        for first in range(0, len(order), LIBRARY_BATCH):
            batch = order[first : first + LIBRARY_BATCH]
            vectors[batch], taken = self._thread.submit(self._forward, [texts[index] for index in batch]).result()
            tokens += taken
        return vectors, tokens

    def _forward(self, texts: list[str]) -> tuple[Vectors, int]:
        import torch

        with torch.inference_mode():
            features = self._model.preprocess(texts)
            tokens = int(features["attention_mask"].sum())
            moved = {
                name: value.to(self._model.device) if hasattr(value, "to") else value
                for name, value in features.items()
            }
            sentence = self._model(moved)["sentence_embedding"]
            return torch.nn.functional.normalize(sentence.float(), dim=1).cpu().numpy(), tokens


def _windows(tokenizer: "Tokenizer", texts: Sequence[str], places: Sequence[int] | None = None) -> list[Window]:
    encoded = tokenizer.encode_batch_fast([text.strip() for text in texts])
    return [
        Window(place, tuple(each.ids), len(each.ids), ())
        for place, each in zip(places or range(len(texts)), encoded, strict=True)
    ]
