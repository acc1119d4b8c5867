"""What a plan becomes in the index."""

import numpy as np
import pytest

from pipelines.core.types import Plan, SearchQuery
from pipelines.retrieve import ranked_queries

VECTORS = np.eye(3, dtype=np.float32)


def plan(*queries: tuple[str, float], standalone: str) -> Plan:
    return Plan(standalone=standalone, queries=tuple(SearchQuery(text=text, weight=each) for text, each in queries))


def test_asked_and_whole_are_searched_with_one_vector_and_two_texts() -> None:
    queries = ranked_queries(
        plan(
            ("How tall is it?", 1.0),
            ("How tall is it?  Millau", 3.0),
            ("height", 0.5),
            standalone="how tall is it? millau",
        ),
        VECTORS,
    )
    asked, whole, other = queries
    assert (asked.text, asked.vector, asked.weight) == ("How tall is it?", None, 1.0)
    assert whole.vector == pytest.approx(np.array([1, 3, 0]) / np.sqrt(10))
    assert (whole.weight, other.weight) == (3.0, 0.5)
    assert other.vector == pytest.approx(VECTORS[2])


def test_a_question_that_stands_alone_keeps_its_own_vector() -> None:
    queries = ranked_queries(plan(("Who?", 1.0), ("When?", 0.5), standalone="Who?"), VECTORS[:2])
    assert [query.vector for query in queries] == [pytest.approx(each) for each in VECTORS[:2]]
