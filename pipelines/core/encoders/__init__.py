"""The in-process models: one small encoder that embeds texts, and heads on it that read two texts together."""

from pipelines.core.encoders.encoder import BUILTIN, BUILTIN_DIM, BUILTIN_NAME, Embeddings, Encoder
from pipelines.core.encoders.pairs import Pair

__all__ = ["BUILTIN", "BUILTIN_DIM", "BUILTIN_NAME", "Embeddings", "Encoder", "Pair"]
