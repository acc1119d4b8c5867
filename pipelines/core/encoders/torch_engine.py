"""Forward passes by PyTorch: on its devices, and on a CPU where OpenVINO is not to be had."""

import inspect
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pipelines.core.encoders.adapter import merge
from pipelines.core.encoders.engine import Ids, States
from pipelines.core.settings import EncoderSettings

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Kind = Literal["encoder", "classifier"]


class TorchEngine:
    """Runs a transformers model as it is. Batches of several threads take turns: one already uses every core."""

    prepares_shapes = False

    def __init__(self, model: "PreTrainedModel", settings: EncoderSettings) -> None:
        import torch

        if settings.threads:
            torch.set_num_threads(settings.threads)
        dtype = torch.bfloat16 if _bfloat16(settings) else torch.float32
        moved: Any = model  # transformers wraps `to` in a way that type checkers do not see through
        self._model: PreTrainedModel = moved.to(device=settings.device, dtype=dtype)
        self._device = settings.device
        self._typed = takes_types(model)
        self.dim = width(model)
        self.size_bytes = sum(each.numel() * each.element_size() for each in self._model.parameters())
        self.how = f"torch {str(dtype).removeprefix('torch.')}"
        # One thread for all forward passes: OpenMP starts a team of threads for every thread that asks for one.
        self._thread = ThreadPoolExecutor(1, "strata-torch")

    def forward(self, ids: Ids, mask: Ids, types: Ids) -> States:
        """See `Engine.forward`."""
        return self._thread.submit(self._forward, ids, mask, types).result()

    def _forward(self, ids: Ids, mask: Ids, types: Ids) -> States:
        import torch

        inputs = {"input_ids": ids, "attention_mask": mask, **({"token_type_ids": types} if self._typed else {})}
        with torch.inference_mode():
            output = self._model(**{name: torch.from_numpy(each).to(self._device) for name, each in inputs.items()})
            states: States = output[0].float().cpu().numpy()
        return states


def load(folder: Path, *, kind: Kind = "encoder", adapter: Path | None = None) -> "PreTrainedModel":
    """A transformers model in float32, a LoRA adapter merged into it.

    Raises:
        OSError, ValueError: the folder has no such model, or the adapter is not its.
    """
    import torch
    from transformers import AutoModel, AutoModelForSequenceClassification
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    automatic = AutoModel if kind == "encoder" else AutoModelForSequenceClassification
    model: PreTrainedModel = automatic.from_pretrained(folder, local_files_only=True, dtype=torch.float32)
    if adapter:
        merge(model, adapter)
    model.requires_grad_(False).train(False)
    return model


def takes_types(model: "PreTrainedModel") -> bool:
    """Whether a model tells first from second texts by token types."""
    return "token_type_ids" in inspect.signature(model.forward).parameters


def width(model: "PreTrainedModel") -> int:
    """Length of the last axis of what a model gives."""
    classifies = type(model).__name__.endswith("ForSequenceClassification")
    return int((model.config.num_labels if classifies else model.config.hidden_size) or 0)


def _bfloat16(settings: EncoderSettings) -> bool:
    if settings.precision != "auto":
        return settings.precision == "bfloat16"
    import torch

    if settings.device != "cpu":
        return False
    # Twice to four times the passages a second of float32, cosine to it >= .999 (MiniLM, AVX512-BF16, two cores).
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
