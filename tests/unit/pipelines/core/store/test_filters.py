"""Conditions and their translation."""

import pytest
from qdrant_client import models

from pipelines.core.errors import InvalidRequestError
from pipelines.core.store.filters import AnyOf, Between, Match, Where, metadata_key, render, visible
from pipelines.core.store.server_backend import _DIALECT
from pipelines.core.types import Filter, Range


def test_every_search_is_bound_to_level_and_tenant() -> None:
    assert visible(Filter(tenant="t"), "passage") == Where((Match("scope", ("passage:t",)),))
    assert visible(Filter(tenant="t"), "section").must != visible(Filter(tenant="t"), "passage").must


def test_a_reader_with_labels_is_bound_to_them_on_every_level() -> None:
    for level in ("passage", "section"):
        assert Match("labels", ("*", "a", "b")) in visible(Filter(labels=("a", "b")), level).must
        assert Match("labels", ("*",)) in visible(Filter(labels=()), level).must


def test_a_tenant_cannot_name_itself_into_another_scope() -> None:
    scopes = {
        visible(Filter(tenant=tenant), level).must
        for tenant in ("t", "passage:t", "section:t")
        for level in ("passage", "section")
    }
    assert len(scopes) == 6


@pytest.mark.parametrize(
    ("wanted", "condition"),
    [
        ("x", Match("metadata.f", ("x",))),
        (("x", "y"), Match("metadata.f", ("x", "y"))),
        ((), Match("metadata.f", ())),
        (3, Between("metadata.f", Range(gte=3, lte=3))),
        (True, Match("metadata.f", ("\x00true",))),
        (2**60, Match("metadata.f", (2**60,))),
        (Range(gt=1), Between("metadata.f", Range(gt=1))),
        ((1, "x"), AnyOf((Between("metadata.f", Range(gte=1, lte=1)), Match("metadata.f", ("x",))))),
    ],
)
def test_metadata_conditions(wanted: object, condition: object) -> None:
    assert visible(Filter(metadata={"f": wanted}), "passage").must[1] == condition


def test_names_are_quoted_where_they_would_be_paths() -> None:
    assert metadata_key("plain_name-1") == "metadata.plain_name-1"
    assert metadata_key("a.b[0] c") == 'metadata."a.b[0] c"'
    for name in ("", 'a"b', "a\\b"):
        with pytest.raises(InvalidRequestError):
            metadata_key(name)


def test_rendering_keeps_all_parts() -> None:
    where = Where((Match("a", ("x",)), AnyOf((Match("b", (1, 2)), Between("c", Range(lt=3))))), (Match("d", ("y",)),))
    assert render(where, _DIALECT) == models.Filter(
        must=[
            models.FieldCondition(key="a", match=models.MatchValue(value="x")),
            models.Filter(
                should=[
                    models.FieldCondition(key="b", match=models.MatchAny(any=[1, 2])),
                    models.FieldCondition(key="c", range=models.Range(lt=3)),
                ]
            ),
        ],
        must_not=[models.FieldCondition(key="d", match=models.MatchValue(value="y"))],
    )
