"""Which engine runs a model, by the settings and by what the machine has."""

import logging
from collections.abc import Callable, Sequence
from functools import cache
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.core.encoders.cache import ModelCache, key_of
from pipelines.core.encoders.engine import ConversionError, Engine
from pipelines.core.encoders.pairs import Window
from pipelines.core.encoders.source import folder_digest
from pipelines.core.errors import ConfigurationError
from pipelines.core.settings import EncoderSettings

if TYPE_CHECKING:
    from pipelines.core.encoders.openvino_engine import OpenVinoEngine
    from pipelines.core.encoders.torch_engine import Kind

logger = logging.getLogger(__name__)

Samples = Callable[[], Sequence[Window]]
"""Gives what the model typically reads, to calibrate and check a conversion with."""


def open_engine(
    folder: Path, settings: EncoderSettings, samples: Samples, *, kind: "Kind" = "encoder", adapter: Path | None = None
) -> Engine:
    """Opens the transformers model of a folder, an adapter merged into it.

    The first time OpenVINO runs a model it is converted, which takes seconds; see `EncoderSettings.cache_dir`.

    Raises:
        ConfigurationError: OpenVINO is demanded and cannot run the model.
        OSError, ValueError: the files are not those of such a model.
    """
    if settings.engine != "torch" and settings.device == "cpu":
        try:
            return _openvino(folder, settings, samples, kind, adapter)
        except (ImportError, ConversionError) as error:
            if settings.engine == "openvino" or settings.precision == "int8":
                raise ConfigurationError(f"encoder.engine: OpenVINO cannot run {folder.name} ({error})") from error
            logger.warning("OpenVINO cannot run %s, PyTorch does: %s", folder.name, error)
    elif settings.engine == "openvino" or settings.precision == "int8":
        raise ConfigurationError("encoder.engine, encoder.precision: OpenVINO and int8 are for `device: cpu`")
    from pipelines.core.encoders.torch_engine import TorchEngine, load

    return TorchEngine(load(folder, kind=kind, adapter=adapter), settings)


def _openvino(
    folder: Path, settings: EncoderSettings, samples: Samples, kind: "Kind", adapter: Path | None
) -> "OpenVinoEngine":
    from pipelines.core.encoders.openvino_engine import WORDS_FILE, OpenVinoEngine, best_precision, core, mapped

    core()
    precision = best_precision(head=adapter is not None) if settings.precision == "auto" else settings.precision
    stored = "int8" if precision == "int8" else "float32"  # bfloat16 is made of it when it is loaded
    cache_ = model_cache(settings.cache_dir)
    weights = folder_digest(folder)
    adapted = folder_digest(adapter) if adapter else ""
    conversion = _Conversion(folder, settings, samples, kind, adapter)
    words = cache_.folder(key_of("words", weights, kind), conversion.words)
    parts = (kind, weights, adapted, stored, *_versions())
    converted = cache_.folder(key_of(*parts), lambda to: conversion.network(to, words / WORDS_FILE, stored))
    return OpenVinoEngine(converted, mapped(words / WORDS_FILE), precision, settings)


class _Conversion:
    """Loads the model once for all that is made of it, and only where something is to be made."""

    def __init__(
        self, folder: Path, settings: EncoderSettings, samples: Samples, kind: "Kind", adapter: Path | None
    ) -> None:
        self._folder, self._settings, self._samples = folder, settings, samples
        self._kind, self._adapter = kind, adapter

    def words(self, to: Path) -> None:
        from pipelines.core.encoders.conversion import write_words
        from pipelines.core.encoders.torch_engine import load

        write_words(load(self._folder, kind=self._kind), to)

    def network(self, to: Path, words: Path, stored: str) -> None:
        """Converts, and lets nothing into the cache that does not do what the original does."""
        from pipelines.core.encoders.conversion import check_alike, convert
        from pipelines.core.encoders.openvino_engine import OpenVinoEngine, mapped
        from pipelines.core.encoders.torch_engine import TorchEngine, load

        logger.info("converting %s for OpenVINO in %s", self._adapter or self._folder.name, stored)
        model, samples = load(self._folder, kind=self._kind, adapter=self._adapter), self._samples()
        convert(model, to, samples, int8=stored == "int8")
        plain = self._settings.model_copy(update={"precision": "float32"})
        check_alike(TorchEngine(model, plain), OpenVinoEngine(to, mapped(words), stored, plain), samples)


@cache
def model_cache(root: Path | None) -> ModelCache:
    """The cache of a folder, one a process."""
    return ModelCache(root)


def _versions() -> tuple[str, ...]:
    from pipelines.core.encoders.conversion import CALIBRATION, FORMAT

    text = sha256(CALIBRATION.read_bytes()).hexdigest()
    return (str(FORMAT), text, *(f"{name} {version(name)}" for name in ("openvino", "nncf", "transformers")))
