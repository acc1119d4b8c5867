"""What runs an encoder's forward passes."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]
States = NDArray[np.float32]


class Engine(Protocol):
    """An encoder with its weights. Threads may share one."""

    @property
    def dim(self) -> int:
        """Length of a token's vector."""

    def forward(self, ids: Ids, mask: Ids, types: Ids) -> States:
        """The last hidden states of a padded batch: `(n, tokens)` each in, `(n, tokens, dim) float32` out.

        What stands at padding (`mask` 0) means nothing.
        """
