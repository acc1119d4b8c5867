"""The in-process models: one small encoder that embeds texts, and heads on it that read two texts together."""

from pipelines.core.encoders.cross_encoder import CrossEncoder, CrossScores
from pipelines.core.encoders.encoder import Embeddings, Encoder
from pipelines.core.encoders.heads import Head, HeadScores
from pipelines.core.encoders.pairs import Pair
from pipelines.core.encoders.registry import Heads
from pipelines.core.encoders.source import BUILTIN, BUILTIN_DIM, BUILTIN_NAME

__all__ = [
    "BUILTIN",
    "BUILTIN_DIM",
    "BUILTIN_NAME",
    "CrossEncoder",
    "CrossScores",
    "Embeddings",
    "Encoder",
    "Head",
    "HeadScores",
    "Heads",
    "Pair",
]
