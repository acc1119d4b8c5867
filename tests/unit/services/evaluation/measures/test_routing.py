from typing import Any

import pytest

from pipelines.core.errors import InvalidRequestError
from services.evaluation.measures.routing import APGR, CHANCE, LENGTH, NEIGHBOURS, SUBJECT, UNSEEN, measure_routing
from tests.unit.services.evaluation.conftest import MakeContext


def row(number: int, task: str, prompt: str, small: bool) -> dict[str, Any]:
    return {"id": str(number), "task": task, "prompt": prompt, "small_correct": small, "large_correct": True}


ROWS = [row(1, "law", "a tort of negligence", False), row(2, "sums", "add the two numbers up please", True)]


async def test_a_subject_tells_what_length_gets_wrong_and_an_unseen_one_nothing(make_context: MakeContext) -> None:
    trained = [{**each, "id": f"t{number}"} for number, each in enumerate(ROWS * 40)]
    result = await measure_routing(make_context("routing", {"dev/routing": ROWS, "train/routing": trained}))
    assert result.figure(CHANCE, APGR).value == 0.5
    assert result.figure(SUBJECT, APGR).value == result.figure(NEIGHBOURS, APGR).value == 0.75
    assert result.figure(LENGTH, APGR).value == result.figure(UNSEEN, APGR).value == 0.25
    assert "small model 0.500, large 1.000" in result.notes[0]


async def test_its_training_part_is_not_measured(make_context: MakeContext) -> None:
    context = make_context("routing", {"dev/routing": ROWS, "train/routing": ROWS})
    object.__setattr__(context.evaluated, "split", "train")
    with pytest.raises(InvalidRequestError, match="measure on another"):
        await measure_routing(context)
