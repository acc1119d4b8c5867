"""The values."""

import copy

import pytest
from pydantic import ValidationError

from pipelines.core.types import SearchQuery


def test_copies_are_free_and_changed_copies_leave_the_original_alone() -> None:
    query = SearchQuery(text="a")
    assert copy.copy(query) is copy.deepcopy(query) is query.model_copy() is query
    changed = query.model_copy(update={"text": "b"})
    assert (query.text, changed.text, changed.weight) == ("a", "b", 1.0)


def test_changed_copies_are_validated() -> None:
    with pytest.raises(ValidationError):
        SearchQuery(text="a").model_copy(update={"weight": -1})
