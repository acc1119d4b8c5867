"""Addresses that may be read, and those that look as if they might."""

from pathlib import Path

import pytest

from pipelines.core.errors import ConfigurationError, ForbiddenError, InvalidRequestError
from services.documents.locations import allowed, parse


@pytest.mark.parametrize(
    ("url", "normal"),
    [
        ("s3://bucket", "s3://bucket/"),
        ("S3://bucket/a//b/", "s3://bucket/a/b/"),
        ("file:///srv/My%20docs", "file:///srv/My%20docs/"),
        ("file:///srv//docs/", "file:///srv/docs/"),
        ("file:///", "file:///"),
        ("file://localhost/srv", "file:///srv/"),
    ],
)
def test_an_address_has_one_form(url: str, normal: str) -> None:
    assert parse(url).url == normal
    assert parse(normal).url == normal


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/srv/docs",
        "docs",
        "file:srv",
        "s3:///key",
        "s3://key:secret@bucket/x",
        "s3://bucket/a/../b",
        "file:///srv/docs/../../etc",
        "file:///srv/docs/%2e%2e/etc",
        "file:///srv/%00",
        "file://server/srv",
        "s3://bucket/x?versionId=1",
        "s3://bucket/x#y",
        "s3://bucket/x\n",
        "s3://bucket/\ud800",
        "s3://[/x",
        "s3://bucket/" + "x" * 3000,
    ],
)
def test_what_is_no_address_of_a_source_is_refused(url: str) -> None:
    with pytest.raises(InvalidRequestError):
        parse(url)


@pytest.mark.parametrize("url", ["s3://bucket/manuals", "s3://bucket/manuals/2024/", "s3://other/x"])
def test_what_lies_under_an_allowed_address_is_allowed(url: str) -> None:
    allowed(parse(url), ["s3://bucket/manuals/", "s3://other"])


@pytest.mark.parametrize(
    "url", ["s3://bucket", "s3://bucket/manuals-secret/", "s3://bucket2/manuals", "file:///bucket/manuals"]
)
def test_names_are_compared_whole(url: str) -> None:
    with pytest.raises(ForbiddenError):
        allowed(parse(url), ["s3://bucket/manuals/"])
    with pytest.raises(ForbiddenError):
        allowed(parse(url), [])


def test_a_link_does_not_lead_out_of_what_is_allowed(tmp_path: Path) -> None:
    docs, other = tmp_path / "docs", tmp_path / "other"
    docs.mkdir()
    other.mkdir()
    (docs / "team").mkdir()
    (docs / "out").symlink_to(other)
    (docs / "in").symlink_to(docs / "team")
    allow = [docs.as_uri()]
    allowed(parse((docs / "team").as_uri()), allow)
    allowed(parse((docs / "in").as_uri()), allow)
    with pytest.raises(ForbiddenError, match="leads out"):
        allowed(parse((docs / "out").as_uri()), allow)
    (tmp_path / "alias").symlink_to(docs)
    allowed(parse((tmp_path / "alias" / "team").as_uri()), [(tmp_path / "alias").as_uri()])


def test_a_mistake_in_the_settings_is_told_as_one() -> None:
    with pytest.raises(ConfigurationError, match=r"ingest\.sources"):
        allowed(parse("s3://bucket"), ["bucket"])
