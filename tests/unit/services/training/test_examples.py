"""Examples: read, written, split so that a question is on one side only."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from pipelines.core.errors import InvalidRequestError
from services.training.examples import Example, groups_of, read_examples, split_by_group, write_examples

EXAMPLE = Example(
    first="who?", second="Ann did.", spans=((0, 8),), label=1.0, span_labels=(1.0,), group="q", source="t"
)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    write_examples(tmp_path / "e.jsonl", [EXAMPLE, EXAMPLE.model_copy(update={"label": None, "weight": 0.5})])
    assert read_examples(tmp_path / "e.jsonl") == [EXAMPLE, EXAMPLE.model_copy(update={"label": None, "weight": 0.5})]


@pytest.mark.parametrize(
    ("line", "said"),
    [("{", "Invalid JSON"), ('{"first": "a", "second": "b", "source": "t"}', "neither"), ("\udcff", "cannot be read")],
)
def test_a_malformed_line_is_named(tmp_path: Path, line: str, said: str) -> None:
    good = EXAMPLE.model_dump_json().encode()
    (tmp_path / "e.jsonl").write_bytes(good + b"\n\n" + line.encode("utf-8", "surrogateescape") + b"\n")
    with pytest.raises(InvalidRequestError, match=said) as caught:
        read_examples(tmp_path / "e.jsonl")
    assert "line 3" in caught.value.detail or "after line" in caught.value.detail


def test_spans_and_labels_agree() -> None:
    with pytest.raises(ValidationError, match="1 spans have 2 labels"):
        Example(first="a", second="b", spans=((0, 1),), span_labels=(1.0, 0.0), source="t")


@pytest.mark.parametrize(
    "changed", [{"label": float("nan")}, {"label": -1.0}, {"span_labels": (2.0,)}, {"weight": float("inf")}]
)
def test_labels_are_numbers_in_their_range(changed: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Example.model_validate(EXAMPLE.model_dump() | changed)


def test_a_group_is_on_one_side_and_the_sides_do_not_change() -> None:
    examples = [EXAMPLE.model_copy(update={"group": f"q{number % 200}"}) for number in range(400)]
    train, held = split_by_group(examples, 0.2)
    assert not {each.group for each in train} & {each.group for each in held}
    assert 0.1 < len(held) / 400 < 0.3
    assert split_by_group(examples[::-1], 0.2)[1] == held[::-1]


def test_groups_keep_their_order_and_lonely_examples_stay_alone() -> None:
    alone = EXAMPLE.model_copy(update={"group": ""})
    other = EXAMPLE.model_copy(update={"group": "r"})
    assert list(groups_of([EXAMPLE, alone, other, alone, EXAMPLE])) == [[EXAMPLE, EXAMPLE], [alone], [other], [alone]]
