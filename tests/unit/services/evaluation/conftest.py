"""Tiny sets on disk, and the surroundings of a task over them with the real parts of the product."""

import gzip
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import pytest

from pipelines.core.encoders import Encoder
from pipelines.core.settings import Settings
from services.evaluation.context import Context
from services.evaluation.data.corpus import CorpusIndex, Progress, corpus_settings
from services.evaluation.data.sets import load
from services.runtime import Runtime

SPLIT = "dev"
Files = Mapping[str, Sequence[Mapping[str, Any]]]


class MakeContext(Protocol):
    """Opens a set of these files with these settings."""

    def __call__(self, name: str, files: Files, **fields: object) -> Context: ...


class _Unheard:
    def advance(self, passages: int = 0) -> None:
        """Nobody listens."""


@contextmanager
def _begin(what: str, documents: int) -> Iterator[Progress]:
    yield _Unheard()


@pytest.fixture(scope="session")
def encoder() -> Encoder:
    """Loaded once: it takes longer than all that these tests do with it."""
    return Encoder(Settings().encoder)


@pytest.fixture
def make_context(tmp_path: Path, encoder: Encoder) -> Iterator[MakeContext]:
    """Writes the files of a set, named by their path in it without ending, and opens the set."""
    runtimes: list[Runtime] = []

    def make(name: str, files: Files, **fields: object) -> Context:
        for file, rows in files.items():
            path = tmp_path / name / f"{file}.jsonl.gz"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode()))
        evaluated = load(name, tmp_path, SPLIT)
        settings = Settings.model_validate({"data_dir": tmp_path / "data", **fields})
        if evaluated.adapter.corpus:
            settings = corpus_settings(settings, evaluated, tmp_path / "work")
        runtime = Runtime(settings)
        runtime.__dict__["encoder"] = encoder
        runtimes.append(runtime)
        return Context(evaluated, runtime, CorpusIndex(evaluated, runtime), seed=7, limit=None, begin=_begin)

    yield make
    for runtime in runtimes:
        runtime.close()
