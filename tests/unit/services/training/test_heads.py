"""Recipes of the heads."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from pipelines.core.encoders.spec import HeadSpec
from pipelines.core.errors import InvalidRequestError
from pipelines.core.settings import EncoderSettings
from pipelines.verify import FEATURES
from services.training.heads import RECIPES, options_of, train_head
from services.training.support import recipe as support

TORCH = EncoderSettings(engine="torch", precision="float32")
PAGE = [
    "The Millau Viaduct is a bridge in the south of France.",
    "It was designed by Norman Foster in 1996.",
    "It was opened to traffic in December 2004.",
    "The bridge stands on seven piers of concrete.",
]


def _write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True)
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


@pytest.fixture
def sets(tmp_path: Path) -> Path:
    """Some claims of every set that the head `support` learns from."""
    pages = range(12)
    _write(
        tmp_path / "fm2/train/grounding.jsonl.gz",
        [
            {
                "id": f"f{n}-{label}",
                "claim_or_response": f"Bridge {n} has {word} piers.",
                "label": label,
                "page": f"Bridge {n}",
                "gold_evidence": [PAGE[3]],
                "candidates": [{"text": text, "gold": at == 3} for at, text in enumerate(PAGE)],
            }
            for n in pages
            for label, word in (("SUPPORTS", "seven"), ("REFUTES", "nine"))
        ],
    )
    _write(
        tmp_path / "expertqa/train/grounding.jsonl.gz",
        [
            {
                "id": f"e{n}",
                "question_id": f"q{n}",
                "claim_or_response": "The bridge was opened in 2004 [1].",
                "supported": n % 2 == 0,
                "context": [{"text": " ".join(PAGE)}],
            }
            for n in pages
        ],
    )
    tokens = "It was designed by Foster on 3 May 1996 .".split()
    _write(
        tmp_path / "wice/train/unsupported_tokens.jsonl.gz",
        [
            {
                "id": f"w{n}-0",
                "claim_or_response": "It was designed by Foster on 3 May 1996.",
                "tokens": tokens,
                "unsupported": [5 <= at < 9 for at in range(10)],
                "context_sentences": PAGE,
                "supporting_sentence_sets": [[1]],
            }
            for n in pages
        ],
    )
    corpus = [{"id": f"d{n}", "title": f"Bridge {n}", "text": " ".join(PAGE)} for n in pages]
    for name in support.CORPORA:
        _write(tmp_path / name / "shared/corpus.jsonl.gz", corpus)
    _write(
        tmp_path / "nq_gold/train/queries.jsonl.gz",
        [
            {
                "id": f"n{n}",
                "question": "who designed the millau viaduct",
                "answers": ["Norman Foster"],
                "gold": [{"doc_id": f"d{n}"}],
            }
            for n in pages
        ],
    )
    return tmp_path


def test_support_learns_from_every_set_and_no_group_is_on_both_sides(sets: Path) -> None:
    fit, held_out = support.examples(sets, seed=3)
    assert {each.source.partition("/")[0] for each in fit} == {"fm2", "expertqa", "wice", "nq_gold", "made"}
    assert not {each.group for each in fit} & {each.group for each in held_out}
    assert support.examples(sets, seed=3) == (fit, held_out)
    designed = next(each for each in fit if each.source == "nq_gold" and each.label == 0)
    assert designed.first == "Norman Foster designed the Millau Viaduct."
    assert PAGE[1] in designed.second


def test_a_head_is_trained_and_calibrated_from_the_sets(sets: Path, tmp_path: Path) -> None:
    said: list[str] = []
    options = options_of("support", epochs=0.1, max_s=20, checks=1, rank=2, step_tokens=1024)
    spec = train_head("support", sets, tmp_path / "head", options, start=None, log=said.append, encoder=TORCH)
    assert HeadSpec.read(tmp_path / "head") == spec
    assert set(spec.calibration) == {*FEATURES, "bias", "min_support", "states"}
    assert 0 < spec.calibration["min_support"] < 1
    assert any("held-out" in line for line in said)


def test_a_set_that_is_missing_and_a_head_without_recipe_are_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequestError, match="clapnq"):
        support.examples(tmp_path, seed=3)
    unknown = "resolution"
    assert unknown not in RECIPES
    with pytest.raises(InvalidRequestError, match=unknown):
        train_head(unknown, tmp_path, tmp_path, options_of("support"), start=None, log=print)  # type: ignore[arg-type]
