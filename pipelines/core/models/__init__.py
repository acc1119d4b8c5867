"""Model tiers: the only user of LiteLLM, which `client.py` alone imports."""

from pipelines.core.models.check import IN_PROCESS, check, describe, provider_of
from pipelines.core.models.replies import ModelReply, listening
from pipelines.core.models.stream import TextStream
from pipelines.core.models.structured import parse, with_schema
from pipelines.core.models.tiers import ModelTiers
from pipelines.core.models.values import Completion, Message, ModelCall, TierStatus

__all__ = [
    "IN_PROCESS",
    "Completion",
    "Message",
    "ModelCall",
    "ModelReply",
    "ModelTiers",
    "TextStream",
    "TierStatus",
    "check",
    "describe",
    "listening",
    "parse",
    "provider_of",
    "with_schema",
]
