"""What a head is, beside its weights: `head.json` in its folder."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

HeadName = Literal["resolve", "evidence", "support", "sufficiency"]
HEADS: tuple[HeadName, ...] = ("resolve", "evidence", "support", "sufficiency")

ADAPTERS = Path(__file__).parent / "adapters"
"""The heads that come with Strata, a folder each."""
SPEC_FILE = "head.json"
HEAD_FILE = "head.safetensors"
"""Tensors `pair.weight (pair_labels, 2 dim)`, `pair.bias`, `span.weight (span_labels, dim)`, `span.bias`."""


class HeadSpec(BaseModel):
    """A head: a LoRA adapter (PEFT's own files) on the encoder, and linear layers on what the encoder gives.

    A pair's features are the vector of `[CLS]` beside the mean over the second text; a span's are the mean over its
    tokens. Where a pair has several windows, the highest logits count.

    Attributes:
        version: Names the weights; receipts show it.
        backbone: Fingerprint of the encoder that the adapter belongs to.
        pair_labels, span_labels: What the logits mean, in order; either may be empty. One label: its logit against
            its absence (sigmoid); several: one against the others (softmax).
        calibration: Numbers found on a part of the training data: thresholds, temperatures, weights.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: HeadName
    version: str = Field(min_length=1)
    backbone: str
    pair_labels: tuple[str, ...] = ()
    span_labels: tuple[str, ...] = ()
    max_tokens: int = Field(gt=0, le=512)
    calibration: dict[str, FiniteFloat] = Field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> "HeadSpec":
        """Reads a head's folder.

        Raises:
            OSError: there is none.
            ValueError: it is malformed.
        """
        return cls.model_validate_json((folder / SPEC_FILE).read_bytes())

    def write(self, folder: Path) -> None:
        """Writes it into a head's folder."""
        (folder / SPEC_FILE).write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")
