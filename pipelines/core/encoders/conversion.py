"""From PyTorch to OpenVINO, in int8 where that is wanted."""

import logging
import warnings
from collections.abc import Sequence
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.core.encoders.engine import ConversionError, Engine, States
from pipelines.core.encoders.openvino_engine import MODEL_FILE, WORDS_FILE, core
from pipelines.core.encoders.pairs import Batch, Window
from pipelines.core.encoders.torch_engine import takes_types

if TYPE_CHECKING:
    import openvino
    from transformers import PreTrainedModel

FORMAT = 1
"""Goes up when a conversion by this file gives something else."""
CALIBRATION = Path(__file__).parent / "calibration.txt"
"""Texts to calibrate on, one a line. Two in three are the first words of articles of English Wikipedia, each after its
article's name (by its authors, CC BY-SA 4.0, by way of HotpotQA and MuSiQue); the others are from accident reports of
the US National Transportation Safety Board (public domain). Reports alone gave cosines to float32 of .993, not .997."""
ALIKE = 0.95
"""Least cosine between what PyTorch and OpenVINO give of the calibration's texts, from experience .99 in int8."""


def calibration_lines() -> list[str]:
    """Passages that show a model the values that it will meet."""
    return CALIBRATION.read_text("utf-8").splitlines()


def convert(model: "PreTrainedModel", folder: Path, samples: Sequence[Window], *, int8: bool) -> None:
    """Writes a model for `OpenVinoEngine`.

    Args:
        samples: What int8 is calibrated on.

    Raises:
        ConversionError: OpenVINO cannot trace it.
    """
    core()
    import openvino

    try:
        converted = _traced(model)
        if int8:
            converted = _quantised(converted, _inputs(model, samples))
        openvino.save_model(converted, folder / MODEL_FILE, compress_to_fp16=False)
    except Exception as error:  # a tracer meets whatever a model's code does
        raise ConversionError(str(error).partition("\n")[0]) from error


def write_words(model: "PreTrainedModel", folder: Path) -> None:
    """Writes the matrix of word vectors, which is the same with every adapter."""
    np.save(folder / WORDS_FILE, word_vectors(model))


def word_vectors(model: "PreTrainedModel") -> States:
    """The matrix of word vectors, `(vocabulary, dim)`."""
    layer: Any = model.get_input_embeddings()
    words: States = layer.weight.float().numpy()
    return words


def check_alike(one: Engine, other: Engine, samples: Sequence[Window]) -> None:
    """Holds two engines of the same model against each other.

    Raises:
        ConversionError: they give different things.
    """
    for window in samples[:4]:
        batch = Batch.of([window], pad_id=0)
        inputs = (batch.ids, batch.mask, batch.types)
        first, second = (each.forward(*inputs).reshape(-1).astype(np.float64) for each in (one, other))
        cosine = first @ second / (np.linalg.norm(first) * np.linalg.norm(second))
        if not cosine >= ALIKE:
            raise ConversionError(f"{one.how} and {other.how} differ: cosine {cosine:.3f}")


def _traced(model: "PreTrainedModel") -> "openvino.Model":
    """The model from word vectors on."""
    import openvino
    import torch

    typed = takes_types(model)

    class FromWords(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, embeds: Any, mask: Any, types: Any = None) -> Any:
            more = {"token_type_ids": types} if typed else {}
            return self.model(inputs_embeds=embeds, attention_mask=mask, **more)[0]

    ones = torch.ones(2, 8, dtype=torch.long)
    example = {"embeds": torch.zeros(2, 8, word_vectors(model).shape[1]), "mask": ones}
    if typed:
        example["types"] = ones
    with warnings.catch_warnings(), redirect_stdout(StringIO()):
        warnings.simplefilter("ignore")  # tracing warns of every branch in the model's code
        return openvino.convert_model(FromWords().train(False), example_input=example)


def _quantised(model: "openvino.Model", inputs: list[dict[str, Any]]) -> "openvino.Model":
    """Weights and activations of the matrix products in int8.

    Source: Xiao et al., "SmoothQuant" (2022), section 4; without it, cosines to float32 fall from .9975 to .9948.
    """
    with warnings.catch_warnings(), redirect_stdout(StringIO()):
        warnings.simplefilter("ignore")
        import nncf

        nncf.set_log_level(logging.ERROR)
        return nncf.quantize(
            model,
            nncf.Dataset(inputs),
            model_type=nncf.ModelType.TRANSFORMER,
            subset_size=len(inputs),
            # Correcting biases takes as long as all the rest and changes no figure.
            advanced_parameters=nncf.AdvancedQuantizationParameters(disable_bias_correction=True),
        )


def _inputs(model: "PreTrainedModel", samples: Sequence[Window]) -> list[dict[str, Any]]:
    words = word_vectors(model)
    names = ("embeds", "mask", "types") if takes_types(model) else ("embeds", "mask")
    batches = [Batch.of([window], pad_id=0) for window in samples]
    return [
        {name: {"embeds": words[batch.ids], "mask": batch.mask, "types": batch.types}[name] for name in names}
        for batch in batches
    ]
