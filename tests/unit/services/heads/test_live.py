"""Which version of each head is live."""

from datetime import UTC, datetime

import pytest

from pipelines.core.settings import HeadSettings
from pipelines.core.state import HeadStatus, HeadVersion
from services.heads.live import LiveHead, live_heads
from services.heads.versions import shipped

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def version(number: str, status: HeadStatus, name: str = "evidence") -> HeadVersion:
    return HeadVersion(
        name=name, version=number, sha256=number, blob_key=number, size_bytes=1, figures={}, status=status,
        created_at=NOON, accepted_at=NOON if status is HeadStatus.ACCEPTED else None,
    )  # fmt: skip


OWN = [
    version("a", HeadStatus.RETIRED),
    version("b", HeadStatus.ACCEPTED),
    version("c", HeadStatus.CANDIDATE),
    version("s", HeadStatus.REJECTED, "support"),
]


def builtin(name: str) -> LiveHead:
    found = shipped(name)  # type: ignore[arg-type]
    assert found is not None
    return LiveHead(name, found[0].version, "builtin")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("choice", "live"),
    [("live", LiveHead("evidence", "b", "own", NOON)), ("builtin", builtin("evidence")), ("off", LiveHead("evidence"))],
)
def test_the_settings_decide_between_the_accepted_one_the_one_that_comes_and_none(choice: str, live: LiveHead) -> None:
    found = live_heads(HeadSettings.model_validate({"evidence": choice, "sufficiency": "off"}), OWN)
    assert found == [builtin("resolve"), live, builtin("support"), LiveHead("sufficiency")]
