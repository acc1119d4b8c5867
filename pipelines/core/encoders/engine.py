"""What runs an encoder's forward passes."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]
States = NDArray[np.float32]

PASSES = 2
"""Passes that run side by side, each on its share of the cores. One pass on all of them waits for its slowest thread
after every layer, most of all while other work has one of the cores."""


class Engine(Protocol):
    """A network with its weights. Threads may share one."""

    @property
    def dim(self) -> int:
        """Length of the last axis of what it gives."""

    @property
    def how(self) -> str:
        """Library and precision, such as `openvino int8`."""

    @property
    def size_bytes(self) -> int:
        """Its weights, without what it shares with other engines and what it needs while it works."""

    @property
    def prepares_shapes(self) -> bool:
        """Whether a pass of a shape that was not run lately takes longer: few shapes are then worth smaller passes."""

    def forward(self, ids: Ids, mask: Ids, types: Ids) -> States:
        """Runs a padded batch, `(n, tokens)` each.

        Returns:
            The last hidden states `(n, tokens, dim)`, meaningless where `mask` is 0; of a cross-encoder its logits
            `(n, dim)`.
        """


class ConversionError(Exception):
    """OpenVINO cannot run a model, or does not give what PyTorch gives."""
