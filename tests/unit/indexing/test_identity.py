"""Names of documents and versions."""

import uuid

import pytest

from indexing.identity import document_id, document_version
from pipelines.core.settings import SplitSettings

SPLIT = SplitSettings()


def version(**changes: object) -> str:
    facts: dict = {"content_sha256": "a" * 64, "name": "a.md", "metadata": {"x": 1}, "split": SPLIT, "encoder": "e@1"}
    facts |= changes
    return document_version(facts.pop("content_sha256"), facts.pop("name"), facts.pop("metadata"), **facts)


def test_a_document_is_its_tenant_and_source() -> None:
    one = document_id("default", "a.md")
    assert uuid.UUID(one).version == 5
    assert one == document_id("default", "a.md") == "fc55b748-f472-56a5-88c6-64c078b83677"
    assert len({one, document_id("default", "b.md"), document_id("other", "a.md"), document_id("defaulta", ".md")}) == 4


def test_a_version_is_the_same_every_time() -> None:
    assert version() == version() == version(metadata={"x": 1})
    assert version(metadata={"a": 1, "b": 2}) == version(metadata={"b": 2, "a": 1})
    assert len(version()) == 64


@pytest.mark.parametrize(
    "changes",
    [
        {"content_sha256": "b" * 64},
        {"name": "a.txt"},
        {"metadata": {}},
        {"metadata": {"x": 2}},
        {"metadata": {"x": "1"}},
        {"metadata": {"x": ("1",)}},
        {"metadata": {"x": True}},
        {"split": SplitSettings(max_words=100)},
        {"encoder": "e@2"},
    ],
)
def test_whatever_shapes_the_passages_names_another_version(changes: dict) -> None:
    assert version(**changes) != version()
