"""Engines agree: OpenVINO in its precisions, PyTorch, and sentence-transformers itself, on models of several forms."""

import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from pipelines.core.encoders import CrossEncoder, Encoder
from pipelines.core.encoders.source import builtin_folder
from pipelines.core.errors import ConfigurationError
from pipelines.core.settings import EncoderSettings
from tests.support.tiny_models import DIM, as_sentence_model, make_bert

TEXTS = ["A bridge over the river.", "x", "", "Ein Fluss 😀", "The river has a bridge. " * 30]
PAIRS = [("Who crosses the river?", "A bridge over the river."), ("", ""), ("x " * 300, "y " * 300)]


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return as_sentence_model(
        make_bert(tmp_path_factory.mktemp("bert")), {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True}
    )


def settings(model: Path, cache: Path, **fields: object) -> EncoderSettings:
    return EncoderSettings.model_validate({"model": str(model), "cache_dir": cache, "precision": "float32", **fields})


def of_library(folder: Path, texts: list[str]) -> np.ndarray:
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    return model.encode(texts, normalize_embeddings=True, show_progress_bar=False)  # type: ignore[no-any-return]


def cosines(one: np.ndarray, other: np.ndarray) -> float:
    return float((one * other).sum(axis=1).min())


@pytest.mark.parametrize(("precision", "least"), [("float32", 0.9999), ("bfloat16", 0.999), ("int8", 0.98)])
def test_the_built_in_model_gives_what_the_library_gives(precision: str, least: float) -> None:
    texts = [TEXTS[0], "Who plays the lead in River?", "The river has a bridge. " * 3]
    encoder = Encoder(EncoderSettings.model_validate({"precision": precision}))
    assert cosines(encoder.embed(texts).vectors, of_library(builtin_folder(), texts)) > least
    assert encoder.how == f"openvino {precision}"


@pytest.mark.parametrize("engine", ["openvino", "torch"])
def test_another_model_pools_as_its_files_say(bert: Path, tmp_path: Path, engine: str) -> None:
    encoder = Encoder(settings(bert, tmp_path, engine=engine))
    assert (encoder.dim, encoder.how) == (2 * DIM, f"{engine} float32")
    assert cosines(encoder.embed(TEXTS).vectors, of_library(bert, TEXTS)) > 0.9999


def test_a_model_that_does_more_runs_in_the_library(tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import Dense, Pooling, Transformer

    bare = Transformer(str(make_bert(tmp_path / "bare")))
    SentenceTransformer(modules=[bare, Pooling(DIM), Dense(DIM, 8)], device="cpu").save(
        str(tmp_path / "dense"), create_model_card=False
    )
    encoder = Encoder(settings(tmp_path / "dense", tmp_path / "cache"))
    assert (encoder.dim, encoder.how) == (8, "sentence-transformers")
    assert cosines(encoder.embed(TEXTS).vectors, of_library(tmp_path / "dense", TEXTS)) > 0.9999


@pytest.mark.parametrize("engine", ["openvino", "torch"])
def test_a_cross_encoder_gives_what_the_library_gives(tmp_path: Path, engine: str) -> None:
    from sentence_transformers import CrossEncoder as Library

    folder = make_bert(tmp_path / "cross", labels=3)
    scores = CrossEncoder(settings(folder, tmp_path / "cache", engine=engine)).score(PAIRS)
    expected = Library(str(folder), device="cpu", local_files_only=True).predict(PAIRS, show_progress_bar=False)
    np.testing.assert_allclose(scores.logits, expected, atol=1e-3)
    assert scores.usage.calls == 1


def test_a_cross_encoder_of_nothing(tmp_path: Path) -> None:
    encoder = CrossEncoder(settings(make_bert(tmp_path / "cross", labels=1), tmp_path / "cache", engine="torch"))
    assert encoder.score([]).logits.shape == (0, 1)


def test_a_damaged_conversion_is_made_anew(bert: Path, tmp_path: Path) -> None:
    before = Encoder(settings(bert, tmp_path)).embed(TEXTS).vectors
    for path in [*tmp_path.glob("*/model.bin"), *tmp_path.glob("*/words.npy")]:
        path.write_bytes(path.read_bytes()[:100])
    np.testing.assert_array_equal(Encoder(settings(bert, tmp_path)).embed(TEXTS).vectors, before)


def test_without_openvino_pytorch_does_it(
    bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from pipelines.core.encoders import openvino_engine

    openvino_engine.core.cache_clear()
    monkeypatch.setitem(sys.modules, "openvino", None)
    try:
        encoder = Encoder(settings(bert, tmp_path))
        assert encoder.embed(TEXTS).vectors.shape == (len(TEXTS), 2 * DIM)
        assert encoder.how == "torch float32"
        assert "PyTorch does" in caplog.text
        with pytest.raises(ConfigurationError, match="OpenVINO cannot run"):
            Encoder(settings(bert, tmp_path, engine="openvino")).warm_up()
    finally:
        openvino_engine.core.cache_clear()


@pytest.mark.parametrize("fields", [{"engine": "openvino"}, {"precision": "int8"}])
def test_what_is_for_the_cpu_is_refused_elsewhere(bert: Path, tmp_path: Path, fields: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match="device: cpu"):
        Encoder(settings(bert, tmp_path, device="cuda", **fields)).warm_up()


def test_converting_calls_nobody_and_serving_loads_no_torch(bert: Path, tmp_path: Path) -> None:
    code = (
        "import socket, sys, json\n"
        "calls, sent = [], {'socket.connect', 'socket.getaddrinfo', 'socket.sendto', 'socket.sendmsg'}\n"
        "sys.addaudithook(lambda name, _: calls.append(name) if name in sent else None)\n"
        "from pipelines.core.encoders import Encoder; from pipelines.core.settings import EncoderSettings\n"
        f"encoder = Encoder(EncoderSettings(model={str(bert)!r}, cache_dir={str(tmp_path)!r}, precision='int8'))\n"
        "encoder.warm_up(); print(json.dumps([calls, 'torch' in sys.modules]))"
    )
    environment = {"HOME": str(tmp_path), "PATH": "/usr/bin", "OMP_NUM_THREADS": "1"}
    found = []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=Path(__file__).parents[5],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        found.append(json.loads(done.stdout))
        assert done.stderr == ""
    assert found == [[[], True], [[], False]]
    assert not (tmp_path / "intel").exists()


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system does not tell what a process takes")
def test_memory_does_not_grow_with_every_new_shape() -> None:
    code = (
        "from pathlib import Path\n"
        "def mib(): return int(Path('/proc/self/status').read_text().split('RssAnon:')[1].split()[0]) / 1024\n"
        "from pipelines.core.encoders import Encoder; from pipelines.core.settings import EncoderSettings\n"
        "encoder = Encoder(EncoderSettings())\n"
        "def some(words): [encoder.embed(['word ' * (3 * n)] * (1 + n % 3)) for n in words]\n"
        "some(range(1, 80, 4)); before = mib(); some(range(2, 80, 2)); print(mib() - before)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parents[5], capture_output=True, text=True, check=True
    )
    assert float(done.stdout) < 60


def test_the_first_passes_of_engines_are_alone(bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipelines.core.encoders.openvino_engine import OpenVinoEngine

    encoders = [Encoder(settings(bert, tmp_path / str(number))) for number in range(3)]
    for each in encoders:
        Encoder(each._settings).warm_up()  # converts
    under_way: list[int] = []
    seen: list[int] = []

    def forward(self: OpenVinoEngine, ids: np.ndarray, mask: np.ndarray, types: np.ndarray) -> np.ndarray:
        under_way.append(1)
        seen.append(len(under_way))
        time.sleep(0.5)
        under_way.pop()
        return np.zeros((*ids.shape, self.dim), np.float32)

    monkeypatch.setattr(OpenVinoEngine, "forward", forward)
    threads = [threading.Thread(target=lambda each=each: each.how) for each in encoders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [1, 1, 1]
