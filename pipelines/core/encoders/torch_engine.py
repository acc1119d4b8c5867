"""Forward passes by PyTorch: on its devices, and on a CPU where OpenVINO is not to be had."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipelines.core.encoders.adapter import merge
from pipelines.core.encoders.engine import Ids, States
from pipelines.core.settings import EncoderSettings

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class TorchEngine:
    """Runs a transformers encoder as it is. Batches of several threads take turns: one already uses every core."""

    def __init__(self, model: "PreTrainedModel", settings: EncoderSettings) -> None:
        self._model = model
        self._device = settings.device
        self.dim: int = model.config.hidden_size
        # One thread for all forward passes: OpenMP starts a team of threads for every thread that asks for one.
        self._thread = ThreadPoolExecutor(1, "strata-encoder")

    def forward(self, ids: Ids, mask: Ids, types: Ids) -> States:
        """See `Engine.forward`."""
        return self._thread.submit(self._forward, ids, mask, types).result()

    def _forward(self, ids: Ids, mask: Ids, types: Ids) -> States:
        import torch

        inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}
        with torch.inference_mode():
            tensors = {name: torch.from_numpy(array).to(self._device) for name, array in inputs.items()}
            states: States = self._model(**tensors).last_hidden_state.float().cpu().numpy()
        return states


def load(folder: Path, adapter: Path | None = None) -> "PreTrainedModel":
    """A transformers encoder in float32, a LoRA adapter merged into it.

    Raises:
        OSError, ValueError: the folder has no such model, or the adapter is not its.
    """
    from transformers import AutoModel

    model: PreTrainedModel = AutoModel.from_pretrained(folder, local_files_only=True, dtype=np.float32.__name__)
    if adapter:
        merge(model, adapter)
    return model.eval().requires_grad_(False)
