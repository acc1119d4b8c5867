"""What each system does, so that the worker can drive any of them. Standard library and numpy only."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

VECTOR_POOL = 1024
"""Vectors that the encoder that does nothing hands out in turn."""


@dataclass(frozen=True)
class Chunk:
    """A passage, the same for every system: each takes it whole, as one unit of its index."""

    id: str
    title: str
    text: str

    @property
    def content(self) -> str:
        """What a system that knows no titles indexes; Strata embeds the same text."""
        return f"{self.title}\n{self.text}"


@dataclass(frozen=True)
class Options:
    """What all systems share.

    Attributes:
        api_base: Of the model stub; it serves the models `large` and `small`.
        encoder: The folder of the sentence encoder.
        top_k: Passages retrieved for a question.
        work: An empty folder that the system may write to.
    """

    api_base: str
    encoder: str
    top_k: int
    work: Path


@dataclass(frozen=True)
class Answered:
    """An answer as a user of the system gets it.

    Attributes:
        sources: Citation marker as it stands in `text` → id of the cited chunk; the marker `""` stands for a citation
            of the answer as a whole.
        quotes: Marker → the words of the source that the system shows with the citation, where it shows any.
        model_s: Seconds inside in-process models; `None` where the worker's clock around the encoder tells it.
        abstained: The system said itself that it found no answer.
    """

    text: str
    sources: dict[str, str] = field(default_factory=dict)
    quotes: dict[str, str] = field(default_factory=dict)
    model_s: float | None = None
    abstained: bool = False


class System(Protocol):
    """A question answering system with the settings that its documentation recommends; see README.md."""

    packages: Sequence[str]

    def open(self, options: Options, clock: "EncoderClock") -> None:
        """Loads models. Called once."""

    def empty(self) -> None:
        """Puts an empty index in the place of the one there is."""

    def add(self, chunks: Sequence[Chunk]) -> None:
        """Indexes chunks; on return all of them can be found."""

    def ask(self, question: str) -> Answered:
        """Answers one question."""

    def close(self) -> None:
        """Lets go of everything."""


class EncoderClock:
    """Stands around an encoder's `encode`: times it, replaces it by one that does nothing, or takes kept vectors.

    Attributes:
        seconds: Spent in the encoder so far.
        mode: `real`; `none`: vectors from a pool, in no time; `kept`: vectors of earlier calls, where there are any.
    """

    def __init__(self, dim: int = 384) -> None:
        self.seconds = 0.0
        self.mode = "real"
        self.kept: dict[str, NDArray[np.float32]] = {}
        self._inside = False
        self._next = 0
        pool = np.random.default_rng(0).standard_normal((VECTOR_POOL, dim)).astype(np.float32)
        self._pool = pool / np.linalg.norm(pool, axis=1, keepdims=True)

    def around(self, owner: type, name: str) -> None:
        """Replaces a method that takes a text or a list of texts first and gives an array, a row a text."""
        original = getattr(owner, name)

        def encode(model: Any, *arguments: Any, **named: Any) -> Any:
            texts = arguments[0] if arguments else named.get("inputs", named.get("sentences"))
            if self._inside:
                return original(model, *arguments, **named)
            single = isinstance(texts, str)
            listed = [texts] if single else list(texts)

            def real(some: list[str]) -> Any:
                rest = {key: value for key, value in named.items() if key not in ("inputs", "sentences")}
                return original(model, some, *arguments[1:], **rest)

            vectors = self.vectors(listed, real)
            return vectors[0] if single else vectors

        setattr(owner, name, encode)

    def vectors(self, texts: list[str], real: Callable[[list[str]], Any]) -> NDArray[np.float32]:
        """The vectors of texts, `(n, dim)`, by the mode."""
        if self.mode == "none":
            rows = (np.arange(len(texts)) + self._next) % VECTOR_POOL
            self._next += len(texts)
            return self._pool[rows]
        if self.mode == "kept" and all(text in self.kept for text in texts):
            return np.stack([self.kept[text] for text in texts])
        self._inside = True
        started = time.perf_counter()
        try:
            made = np.asarray(real(texts), np.float32)
        finally:
            self._inside = False
            self.seconds += time.perf_counter() - started
        if self.mode == "kept":
            self.kept.update(zip(texts, made, strict=True))
        return made
