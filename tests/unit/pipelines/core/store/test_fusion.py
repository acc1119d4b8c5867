"""Reciprocal rank fusion."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.core.store.fusion import best, fuse

rankings = st.lists(
    st.tuples(st.floats(0.01, 10), st.lists(st.sampled_from("abcdefgh"), unique=True, max_size=8)), max_size=4
)


def test_the_sum_of_weighted_reciprocal_ranks() -> None:
    scores = fuse([(1.0, ["a", "b"]), (0.5, ["b", "c"])], rrf_k=60)
    assert scores == pytest.approx({"a": 1 / 61, "b": 1 / 62 + 0.5 / 61, "c": 0.5 / 62})


@given(rankings, st.integers(1, 100))
def test_it_equals_the_definition(given_rankings: list[tuple[float, list[str]]], rrf_k: int) -> None:
    scores = fuse(given_rankings, rrf_k)
    for each in "abcdefgh":
        expected = sum(weight / (rrf_k + ids.index(each) + 1) for weight, ids in given_rankings if each in ids)
        assert scores.get(each, 0.0) == pytest.approx(expected)


@given(rankings)
def test_the_best_are_sorted_and_a_prefix_of_more(given_rankings: list[tuple[float, list[str]]]) -> None:
    scores = fuse(given_rankings, 60)
    order = best(scores, len(scores))
    assert [(-scores[each], each) for each in order] == sorted((-scores[each], each) for each in order)
    assert best(scores, 3) == order[:3]


def test_ties_are_settled_by_id() -> None:
    assert best({"b": 1.0, "a": 1.0, "c": 2.0}, 3) == ["c", "a", "b"]
