"""The network that is trained: the built-in encoder, a LoRA adapter in it, and linear layers on it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.core.encoders.heads import UNREAD
from pipelines.core.encoders.pairs import Batch, PairReader, Window
from pipelines.core.encoders.spec import HEAD_FILE, HeadSpec
from services.training.network.lora import merge_in_passing

if TYPE_CHECKING:
    import torch

TARGETS = (
    r"encoder\.layer\.\d+\."
    r"(attention\.self\.(query|key|value)|attention\.output\.dense|intermediate\.dense|output\.dense)"
)
"""Every matrix of every layer: with so few examples rank, not place, is what bounds the adapter."""


@dataclass(frozen=True, slots=True)
class Logits:
    """What the network says of some pairs.

    Attributes:
        pairs: `(n, pair_labels)`.
        spans: `(all spans of all pairs, span_labels)`, pair after pair.
        span_counts: Spans of each pair.
    """

    pairs: "torch.Tensor"
    spans: "torch.Tensor"
    span_counts: tuple[int, ...]


class HeadModel:
    """A head in training.

    Args:
        folder: The encoder's folder.
        start: Folder of the head to start from; without it the adapter begins as nothing.
    """

    def __init__(self, spec: HeadSpec, folder: Path, *, rank: int, start: Path | None = None) -> None:
        import torch
        from peft import LoraConfig, PeftModel, get_peft_model
        from safetensors.torch import load_file
        from tokenizers import Tokenizer
        from transformers import AutoModel
        from transformers.utils import logging

        logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        logging.set_verbosity_error()  # type: ignore[no-untyped-call]  # it reports the pooler, which heads do not use
        self.spec = spec
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        tokenizer.no_padding()
        tokenizer.no_truncation()
        self._reader = PairReader(tokenizer, spec.max_tokens)
        # Plain attention in bfloat16: on a CPU the backward pass of torch's fused one is twice as slow as all the rest.
        backbone = AutoModel.from_pretrained(
            folder,
            add_pooling_layer=False,
            attention_probs_dropout_prob=0.0,
            hidden_dropout_prob=0.0,
            attn_implementation="eager",
            dtype=torch.bfloat16,
        )
        dim = backbone.config.hidden_size
        config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=TARGETS)
        self.backbone: Any = (
            PeftModel.from_pretrained(backbone, start, is_trainable=True) if start else get_peft_model(backbone, config)
        )
        merge_in_passing(self.backbone)
        self._pair = torch.nn.Linear(2 * dim, len(spec.pair_labels)) if spec.pair_labels else None
        self._span = torch.nn.Linear(dim, len(spec.span_labels)) if spec.span_labels else None
        if start:
            self._load(load_file(start / HEAD_FILE))

    def _load(self, tensors: "dict[str, torch.Tensor]") -> None:
        for name, layer in self._linear():
            layer.load_state_dict({key: tensors[f"{name}.{key}"].float() for key in ("weight", "bias")})

    def _linear(self) -> "Iterator[tuple[str, torch.nn.Linear]]":
        if self._pair is not None:
            yield "pair", self._pair
        if self._span is not None:
            yield "span", self._span

    def parameters(self) -> "tuple[list[torch.nn.Parameter], list[torch.nn.Parameter]]":
        """What is trained: the adapter's, and the linear layers'."""
        adapter = [each for each in self.backbone.parameters() if each.requires_grad]
        return adapter, [each for _, layer in self._linear() for each in layer.parameters()]

    def train(self, training: bool) -> None:
        """Turns dropout on or off."""
        self.backbone.train(training)

    def windows(self, pairs: Sequence[Any]) -> list[Window]:
        """See `PairReader.windows`."""
        return self._reader.windows(pairs)

    def forward(self, windows: Sequence[Window], span_counts: Sequence[int], batch_tokens: int) -> Logits:
        """Reads pairs, all windows of them, in forward passes of at most `batch_tokens` padded tokens.

        Args:
            windows: With `pair` from 0 to `len(span_counts) - 1`.
        """
        import torch

        offsets = np.concatenate([[0], np.cumsum(span_counts)])
        pair_parts, pair_at, span_parts, span_at = [], [], [], []
        for batch in batches(windows, self._reader.pad_id, batch_tokens):
            hidden, mask, types = self._hidden(batch)
            pair_at += [window.pair for window in batch.windows]
            second = (types * mask).unsqueeze(2).float()
            mean = (hidden * second).sum(1) / second.sum(1).clamp(min=1)
            if self._pair is not None:
                pair_parts.append(self._pair(torch.cat([hidden[:, 0], mean], 1)))
            if self._span is not None:
                places = [
                    (row, int(offsets[window.pair]) + span, start, end)
                    for row, window in enumerate(batch.windows)
                    for span, start, end in window.spans
                ]
                if places:
                    rows, spans, starts, ends = (torch.tensor(each) for each in zip(*places, strict=True))
                    sums = torch.nn.functional.pad(hidden.cumsum(1), (0, 0, 1, 0))
                    span_parts.append(
                        self._span((sums[rows, ends] - sums[rows, starts]) / (ends - starts).unsqueeze(1).float())
                    )
                    span_at += spans.tolist()
        return Logits(
            _highest(pair_parts, pair_at, len(span_counts)),
            _highest(span_parts, span_at, int(offsets[-1])),
            tuple(span_counts),
        )

    def _hidden(self, batch: Batch) -> "tuple[torch.Tensor, torch.Tensor, torch.Tensor]":
        import torch

        ids, mask, types = (torch.from_numpy(each) for each in (batch.ids, batch.mask, batch.types))
        hidden = self.backbone(input_ids=ids, attention_mask=mask, token_type_ids=types).last_hidden_state
        return hidden.float(), mask, types

    def save(self, folder: Path, spec: HeadSpec) -> None:
        """Writes the head in half precision."""
        import torch
        from peft import get_peft_model_state_dict
        from safetensors.torch import save_file

        folder.mkdir(parents=True, exist_ok=True)
        # Not "auto": to find out by itself, PEFT asks the hub.
        state = get_peft_model_state_dict(self.backbone, save_embedding_layers=False)
        adapter = {key: value.detach().to(torch.float16) for key, value in state.items()}
        save_file(adapter, folder / "adapter_model.safetensors")
        config = self.backbone.peft_config["default"]
        config.inference_mode = True
        config.base_model_name_or_path = spec.backbone
        config.save_pretrained(folder)
        linear = {
            f"{name}.{key}": value.detach().to(torch.float32)
            for name, layer in self._linear()
            for key, value in layer.state_dict().items()
        }
        save_file(linear, folder / HEAD_FILE)
        spec.write(folder)


def batches(windows: Sequence[Window], pad_id: int, batch_tokens: int) -> Iterator[Batch]:
    """Batches of windows of like length, shortest first, each of at most `batch_tokens` tokens with its padding."""
    held: list[Window] = []
    for window in sorted(windows, key=lambda each: len(each.ids)):
        if held and len(window.ids) * (len(held) + 1) > batch_tokens:
            yield Batch.of(held, pad_id)
            held = []
        held.append(window)
    if held:
        yield Batch.of(held, pad_id)


def _highest(parts: "list[torch.Tensor]", places: Sequence[int], count: int) -> "torch.Tensor":
    """One row a place: the highest of what its windows gave; lowest of all where there was none."""
    import torch

    if not parts:
        return torch.zeros((count, 0))
    values = torch.cat(parts)
    index = torch.tensor(places).unsqueeze(1).expand_as(values)
    floor = torch.full((count, values.shape[1]), UNREAD)
    return floor.scatter_reduce(0, index, values, "amax", include_self=False)
