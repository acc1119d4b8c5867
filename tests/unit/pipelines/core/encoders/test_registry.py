"""Which heads a process has, and putting others in their place."""

import json
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from pipelines.core.encoders import Heads, Pair, registry
from pipelines.core.errors import ConfigurationError
from pipelines.core.settings import EncoderSettings, HeadSettings
from tests.support.tiny_head import make_head

PAIRS = [Pair(f"Question {n}?", "The bridge was built in 1932. " * n, "Sydney", ((0, 29),)) for n in range(1, 8)]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_head(tmp_path_factory.mktemp("one"), seed=1), make_head(tmp_path_factory.mktemp("two"), seed=2)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> EncoderSettings:
    return EncoderSettings(cache_dir=tmp_path_factory.mktemp("cache"), precision="float32")


def test_openvino_and_torch_agree(folders: tuple[Path, Path], encoder: EncoderSettings) -> None:
    scores = []
    for engine in ("openvino", "torch"):
        heads = Heads(encoder.model_copy(update={"engine": engine}), HeadSettings())
        head = heads.swap("evidence", folders[0])
        assert head is not None
        assert head.how == f"{engine} float32"
        scores.append(head.score(PAIRS))
    np.testing.assert_allclose(scores[0].pairs, scores[1].pairs, atol=2e-3)
    for one, other in zip(scores[0].spans, scores[1].spans, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-3)


def test_shipped_heads_are_there_for_the_built_in_encoder_unless_off(
    tmp_path: Path, folders: tuple[Path, Path], encoder: EncoderSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "ADAPTERS", tmp_path)
    shutil.copytree(folders[0], tmp_path / "evidence")
    head = Heads(encoder, HeadSettings()).get("evidence")
    assert head is not None
    assert head.name == "encoder/evidence@random-1"
    assert Heads(encoder, HeadSettings(evidence="off")).get("evidence") is None
    assert Heads(encoder, HeadSettings()).get("support") is None
    assert Heads(EncoderSettings(model="some/other"), HeadSettings()).get("evidence") is None


def test_a_swap_changes_what_comes_after_and_nothing_that_is_under_way(
    folders: tuple[Path, Path], encoder: EncoderSettings
) -> None:
    heads = Heads(encoder, HeadSettings())
    first = heads.swap("evidence", folders[0])
    assert first is not None
    expected = first.score(PAIRS).pairs
    wrong: list[str] = []
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            head = heads.get("evidence")
            assert head is not None
            if (head is first) != np.allclose(head.score(PAIRS).pairs, expected, atol=1e-3):
                wrong.append(head.name)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    second = heads.swap("evidence", folders[1])
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert heads.get("evidence") is second
    np.testing.assert_allclose(first.score(PAIRS).pairs, expected, atol=1e-3)
    assert heads.swap("evidence", None) is heads.get("evidence")


def spoil(folder: Path, how: str) -> None:
    config, spec = folder / "adapter_config.json", folder / "head.json"
    match how:
        case "no spec":
            spec.unlink()
        case "another encoder":
            spec.write_text(json.dumps({**json.loads(spec.read_text()), "backbone": "other@1"}))
        case "no layers":
            (folder / "head.safetensors").unlink()
        case "wrong shape":
            spec.write_text(json.dumps({**json.loads(spec.read_text()), "pair_labels": ["a", "b"]}))
        case "weights cut":
            weights = folder / "adapter_model.safetensors"
            weights.write_bytes(weights.read_bytes()[:1000])
        case "weights of another size":
            save_file(
                {"base_model.model.encoder.layer.0.output.dense.lora_A.weight": np.ones((4, 7), np.float32)},
                folder / "adapter_model.safetensors",
            )
        case "no numbers":
            save_file({"pair.bias": np.full(1, np.nan, np.float16)}, folder / "head.safetensors")
        case "calibrated with no number":
            spec.write_text(json.dumps({**json.loads(spec.read_text()), "calibration": {"threshold": float("nan")}}))
        case "not an adapter":
            config.write_text("[]")
        case "another kind":
            config.write_text(json.dumps({**json.loads(config.read_text()), "use_dora": True}))
        case "too short":
            spec.write_text(json.dumps({**json.loads(spec.read_text()), "max_tokens": 20}))


@pytest.mark.parametrize(
    "how",
    [
        "no spec",
        "another encoder",
        "no layers",
        "wrong shape",
        "weights cut",
        "weights of another size",
        "no numbers",
        "calibrated with no number",
        "not an adapter",
        "another kind",
        "too short",
    ],
)
def test_a_head_that_cannot_be_used_leaves_the_live_one(
    tmp_path: Path, folders: tuple[Path, Path], encoder: EncoderSettings, how: str
) -> None:
    heads = Heads(encoder.model_copy(update={"engine": "torch"}), HeadSettings())
    live = heads.swap("evidence", folders[0])
    broken = shutil.copytree(folders[1], tmp_path / "head")
    spoil(broken, how)
    with pytest.raises(ConfigurationError, match="the head evidence cannot be loaded"):
        heads.swap("evidence", broken)
    with pytest.raises(ConfigurationError):
        heads.swap("support", folders[1])
    assert heads.get("evidence") is live
