"""Token vectors → one vector a text, as a sentence-transformers model's own files say."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from pipelines.core.encoders.engine import States

Vector = NDArray[np.float32]

_MODES: dict[str, Callable[[States], Vector]] = {
    "cls": lambda states: states[0],
    "max": lambda states: states.max(axis=0),
    "mean": lambda states: states.mean(axis=0),
    "mean_sqrt_len_tokens": lambda states: states.sum(axis=0) / np.sqrt(np.float32(len(states))),
    "lasttoken": lambda states: states[-1],
}
_LEGACY = {
    f"pooling_mode_{name}": name.removesuffix("_token").removesuffix("_tokens")
    for name in ("cls_token", "max_tokens", "mean_tokens", "lasttoken", "weightedmean_tokens")
} | {"pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens"}
_NORMALISED = {"Normalize"}


@dataclass(frozen=True, slots=True)
class Pooling:
    """How a model pools, its modes side by side."""

    modes: tuple[str, ...] = ("mean",)

    def __call__(self, states: States) -> Vector:
        """One vector, L2-normalised, of the `(tokens, dim)` of a text without padding."""
        pooled = np.concatenate([_MODES[mode](states) for mode in self.modes])
        return (pooled / max(float(np.linalg.norm(pooled)), 1e-12)).astype(np.float32)

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """What `modules.json` says; `None` where the model does more than transform and pool.

        Raises:
            OSError, ValueError: the files are missing or malformed.
        """
        if not (folder / "modules.json").is_file():
            return cls()  # a bare transformers model: sentence-transformers takes the mean
        modules = json.loads((folder / "modules.json").read_bytes())
        kinds = [module["type"].rpartition(".")[2] for module in modules]
        if kinds[:2] != ["Transformer", "Pooling"] or set(kinds[2:]) - _NORMALISED or modules[0]["path"]:
            return None
        modes = _modes(json.loads((folder / modules[1]["path"] / "config.json").read_bytes()))
        return cls(modes) if modes and set(modes) <= _MODES.keys() else None


def _modes(config: dict[str, Any]) -> tuple[str, ...]:
    named = config.get("pooling_mode")
    if named is None:
        return tuple(mode for key, mode in _LEGACY.items() if config.get(key))
    return (named,) if isinstance(named, str) else tuple(named)
