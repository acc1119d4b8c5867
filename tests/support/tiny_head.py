"""A head with a random adapter, made by PEFT itself: what a trained one's folder holds."""

import warnings
from pathlib import Path
from typing import Any

from pipelines.core.encoders.source import BUILTIN, builtin_folder, fingerprint
from pipelines.core.encoders.spec import HEAD_FILE, HeadName, HeadSpec

DIM = 384


def make_head(folder: Path, name: HeadName = "evidence", *, seed: int = 0, **fields: Any) -> Path:
    """Writes a head into a folder. Its numbers mean nothing, but another seed gives another head."""
    import torch
    from peft import LoraConfig, get_peft_model
    from safetensors.torch import save_file
    from transformers import AutoModel

    torch.manual_seed(seed)
    base = AutoModel.from_pretrained(builtin_folder(), local_files_only=True)
    config = LoraConfig(r=4, lora_alpha=8, target_modules=["query", "value", "dense"], init_lora_weights=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # PEFT 0.21 asks transformers 5 for a deprecated attribute
        model = get_peft_model(base, config)
    model.save_pretrained(folder)
    given = {"pair_labels": ("helps",), "span_labels": ("helps",), "max_tokens": 256, **fields}
    spec = HeadSpec(name=name, version=f"random-{seed}", backbone=fingerprint(BUILTIN), **given)
    spec.write(folder)
    pairs, spans = len(spec.pair_labels), len(spec.span_labels)
    layers = {
        "pair.weight": torch.randn(pairs, 2 * DIM),
        "pair.bias": torch.randn(pairs),
        "span.weight": torch.randn(spans, DIM),
        "span.bias": torch.randn(spans),
    }
    save_file(layers, folder / HEAD_FILE)
    return folder
