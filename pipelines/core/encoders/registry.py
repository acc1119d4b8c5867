"""The heads of a process, each built when it is first asked for."""

import threading
from pathlib import Path

from pipelines.core.encoders.heads import Head, HeadLayers
from pipelines.core.encoders.pairs import Pair, PairReader, Window
from pipelines.core.encoders.source import BUILTIN, builtin_folder, fingerprint, tokenizer
from pipelines.core.encoders.spec import ADAPTERS, SPEC_FILE, HeadName, HeadSpec
from pipelines.core.errors import ConfigurationError
from pipelines.core.settings import EncoderSettings, HeadSettings

FIRST_CHARS = 80
"""What stands for a question when a head is calibrated."""


class Heads:
    """The heads that the settings turn on. Building this loads nothing.

    A call that has a head keeps it to its end, whatever is swapped in meanwhile.
    """

    def __init__(self, encoder: EncoderSettings, heads: HeadSettings) -> None:
        self._encoder, self._settings = encoder, heads
        self._lock = threading.Lock()
        self._live: dict[HeadName, Head | None] = {}

    def get(self, name: HeadName) -> Head | None:
        """A head, loaded; `None` where it is off, does not come with Strata, or the encoder is not its backbone.

        Raises:
            ConfigurationError: its files are malformed.
        """
        if name not in self._live:
            with self._lock:
                if name not in self._live:
                    self._live[name] = self._shipped(name)
        return self._live[name]

    @property
    def loaded(self) -> dict[HeadName, Head]:
        """The heads that this process works with; one is loaded when a stage first asks for it."""
        return {name: head for name, head in self._live.copy().items() if head is not None}

    def swap(self, name: HeadName, folder: Path | None) -> Head | None:
        """Puts the head of a folder in the place of the one that is live; `None` puts back the one that is shipped.

        Raises:
            ConfigurationError: the folder has no head of this name and backbone; the live one stays.
        """
        head = self._shipped(name) if folder is None else self._open(name, folder)
        with self._lock:
            self._live[name] = head
        return head

    def _shipped(self, name: HeadName) -> Head | None:
        folder = ADAPTERS / name
        if getattr(self._settings, name) == "off" or not (folder / SPEC_FILE).is_file():
            return None
        if self._encoder.model != BUILTIN:
            return None  # the heads that are shipped are adapters of the built-in encoder
        return self._open(name, folder)

    def _open(self, name: HeadName, folder: Path) -> Head:
        try:
            spec = HeadSpec.read(folder)
            if (spec.name, spec.backbone) != (name, fingerprint(self._encoder.model)):
                raise ValueError(f"{SPEC_FILE}: a head {spec.name} of {spec.backbone}")
            return open_head(folder, spec, self._encoder)
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"the head {name} cannot be loaded ({error})") from error


def open_head(folder: Path, spec: HeadSpec, encoder: EncoderSettings) -> Head:
    """Loads a head of the built-in encoder.

    Raises:
        OSError, ValueError: its files are missing or malformed.
        ConfigurationError: OpenVINO is demanded and cannot run it.
    """
    from pipelines.core.encoders.conversion import calibration_lines
    from pipelines.core.encoders.engines import open_engine

    backbone = builtin_folder()
    reader = PairReader(tokenizer(backbone), spec.max_tokens)

    def samples() -> list[Window]:
        return reader.windows([Pair(line[:FIRST_CHARS], line) for line in calibration_lines()])

    engine = open_engine(backbone, encoder, samples, adapter=folder)
    return Head(spec, engine, reader, HeadLayers.read(folder, spec, engine.dim), encoder.batch_tokens)
