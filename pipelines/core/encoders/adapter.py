"""LoRA adapters in PEFT's files, merged into the weights that they belong to."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import nn

CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILE = "adapter_model.safetensors"
_PREFIX, _DOWN, _UP = "base_model.model.", ".lora_A.weight", ".lora_B.weight"
# What changes the arithmetic beyond `W + scale B A`; PEFT's own code would be needed.
_UNSUPPORTED = ("use_dora", "alpha_pattern", "layer_replication", "modules_to_save", "fan_in_fan_out", "lora_bias")


def merge(model: "nn.Module", folder: Path) -> None:
    """Adds an adapter's low-rank updates to a model's weights, in place: `W += alpha / r * B A`.

    Importing PEFT for it would cost a process seconds and 100 MB. Weights that are not adapted stay the same tensors.

    Source: Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models" (2021), section 4.1.

    Raises:
        OSError: there is no adapter in the folder.
        ValueError: it is malformed, of another kind, or belongs to another model.
    """
    from torch import from_numpy, no_grad
    from torch.nn import Parameter

    config = json.loads((folder / CONFIG_FILE).read_bytes())
    if not isinstance(config, dict) or config.get("peft_type") != "LORA":
        raise ValueError(f"{CONFIG_FILE}: not a LoRA adapter")
    if unsupported := [name for name in _UNSUPPORTED if config.get(name)]:
        raise ValueError(f"{CONFIG_FILE}: {unsupported[0]} is not supported")
    rank_root = 0.5 if config.get("use_rslora") else 1.0
    alpha = float(config.get("lora_alpha", 0))
    tensors = read_tensors(folder / WEIGHTS_FILE)
    with no_grad():
        for name in [name for name in tensors if name.endswith(_DOWN)]:
            stem = name.removesuffix(_DOWN)
            down, up = tensors.pop(name), tensors.pop(stem + _UP, np.zeros((0, 0), np.float32))
            try:
                layer = model.get_submodule(stem.removeprefix(_PREFIX))
            except AttributeError as error:
                raise ValueError(f"{WEIGHTS_FILE}: the encoder has no layer {stem}") from error
            if layer.weight.shape != (up.shape[0], down.shape[-1]) or up.shape[1] != down.shape[0]:
                raise ValueError(f"{WEIGHTS_FILE}: {stem} has another shape than the encoder's")
            update = from_numpy(up @ down) * (alpha / down.shape[0] ** rank_root)
            layer.weight = Parameter(layer.weight + update.to(layer.weight), requires_grad=False)
    if tensors:
        raise ValueError(f"{WEIGHTS_FILE}: {min(tensors)} is not a LoRA matrix")


def read_tensors(path: Path) -> dict[str, NDArray[np.float32]]:
    """The tensors of a file, in single precision.

    Raises:
        OSError: there is no such file.
        ValueError: it is malformed, or holds what is no number: all that is computed with it would be none.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        tensors = {name: tensor.astype(np.float32) for name, tensor in load_file(path).items()}
    except SafetensorError as error:
        raise ValueError(f"{path.name}: {error}") from error
    for name, tensor in tensors.items():
        if not np.isfinite(tensor).all():
            raise ValueError(f"{path.name}: {name} is not finite")
    return tensors
