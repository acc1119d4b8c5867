"""A tiny deterministic stand-in for `pipelines.core.encoders.Encoder`: hashed bags of words, no model, no torch."""

import hashlib
import threading
import time
from collections.abc import Sequence

import numpy as np

from pipelines.core.encoders import Embeddings
from pipelines.core.text import terms
from pipelines.core.types import Usage

DIM = 64


class HashEncoder:
    """Texts with words in common get near vectors.

    Attributes:
        texts: Everything that was embedded, in order.
        delay_s: Slept in each call.
    """

    name = "encoder/hash"
    fingerprint = "hash@1"
    dim = DIM

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.delay_s = 0.0
        self._lock = threading.Lock()

    def warm_up(self) -> None:
        """Nothing to load."""

    def embed(self, texts: Sequence[str]) -> Embeddings:
        """See `Encoder.embed`."""
        time.sleep(self.delay_s)
        with self._lock:
            self.texts.extend(texts)
        vectors = np.stack([_vector(text) for text in texts]) if texts else np.zeros((0, DIM), np.float32)
        usage = Usage(calls=1, tokens_in=sum(len(text.split()) for text in texts)) if texts else Usage()
        return Embeddings(vectors, usage)


def _vector(text: str) -> np.ndarray:
    vector = np.zeros(DIM, np.float32)
    for word in terms(text):
        vector[int.from_bytes(hashlib.blake2b(word.encode(), digest_size=4).digest()) % DIM] += 1.0
    vector[0] += 1e-3  # never all zeros
    return vector / np.linalg.norm(vector)
