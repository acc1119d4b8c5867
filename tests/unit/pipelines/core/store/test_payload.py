"""Payloads."""

import json
from uuid import uuid4

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.core.errors import InvalidRequestError, MalformedDocumentError
from pipelines.core.store import EmbeddedPassage, payload
from pipelines.core.types import Passage, Sentence

scalars = st.one_of(st.text(), st.integers(), st.floats(allow_nan=False), st.booleans())
passages = st.builds(
    Passage,
    id=st.uuids().map(str),
    document_id=st.text(),
    version=st.text(),
    section_id=st.uuids().map(str),
    title=st.text(),
    source=st.text(),
    section_path=st.lists(st.text(), max_size=3).map(tuple),
    page=st.none() | st.integers(1, 10**6),
    start=st.integers(0, 10**9),
    end=st.integers(0, 10**9),
    text=st.text(),
    sentences=st.lists(
        st.builds(Sentence, start=st.integers(0, 99), end=st.integers(0, 99), page=st.none() | st.integers(1, 9)),
        max_size=3,
    ).map(tuple),
    metadata=st.dictionaries(st.text(), scalars | st.lists(scalars, max_size=3).map(tuple), max_size=4),
)


def embedded(passage: Passage) -> EmbeddedPassage:
    return EmbeddedPassage(passage, np.ones(1, dtype=np.float32), "tenant")


@given(passages)
def test_a_passage_survives_exactly(passage: Passage) -> None:
    wire = json.loads(json.dumps(payload.encode(embedded(passage)), allow_nan=False))
    back = payload.decode(wire)
    assert back == passage
    assert {key: _typed(value) for key, value in back.metadata.items()} == {
        key: _typed(value) for key, value in passage.metadata.items()
    }


def _typed(value: object) -> object:
    """Tells `1`, `1.0` and `True` apart, which compare equal."""
    return [(type(each), each) for each in value] if isinstance(value, tuple) else (type(value), value)


@given(st.dictionaries(st.text(), scalars | st.lists(scalars).map(tuple)))
def test_filterable_metadata_fits_into_qdrant(metadata: dict) -> None:
    kept = payload.filterable(metadata)
    json.dumps(kept, allow_nan=False)
    values = [each for value in kept.values() for each in (value if isinstance(value, list) else [value])]
    assert all(-(2**63) <= each < 2**63 for each in values if isinstance(each, int))
    assert not any(isinstance(each, bool) for each in values)


def test_truth_values_differ_from_numbers_and_words() -> None:
    stored = payload.filterable({"flags": (True, 1, 1.0, "true", "True")})["flags"]
    assert stored[0] not in stored[1:]


def test_unpaired_surrogates_are_refused_by_name_of_the_source() -> None:
    section = str(uuid4())
    passage = Passage(
        id=section,
        document_id="d",
        version="v",
        section_id=section,
        title="\ud800",
        source="a.md",
        start=0,
        end=0,
        text="",
    )
    with pytest.raises(MalformedDocumentError, match=r"a\.md"):
        payload.encode(embedded(passage))


@pytest.mark.parametrize("text", ["", "7", "not-a-uuid", "{12345678-1234-5678-1234-567812345678}", "A" * 32])
def test_only_canonical_uuids_are_ids(text: str) -> None:
    with pytest.raises(InvalidRequestError):
        payload.point_id(text)


def test_versions_documents_and_tenants_have_their_own_section_points() -> None:
    section = str(uuid4())
    base = Passage(
        id=section, document_id="d", version="v1", section_id=section, title="", source="", start=0, end=0, text=""
    )
    items = [
        embedded(base),
        embedded(base.model_copy(update={"version": "v2"})),
        embedded(base.model_copy(update={"document_id": "e"})),
        EmbeddedPassage(base, np.ones(1, dtype=np.float32), "other tenant"),
    ]
    assert len({payload.section_point(item) for item in items}) == 4
    assert payload.section_point(items[0]) == payload.section_point(embedded(base.model_copy(update={"text": "x"})))
