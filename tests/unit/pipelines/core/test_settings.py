"""What several processes need to share."""

from typing import Any

import pytest
from pydantic import ValidationError

from pipelines.core.settings import Settings

SHARED: dict[str, Any] = {
    "index": {"mode": "server", "url": "http://qdrant:6333"},
    "state": {"url": "postgresql+psycopg://strata@postgres/strata"},
}


@pytest.mark.parametrize("url", ["redis://redis:6379/0", "rediss://:secret@redis:6380/1"])
def test_processes_share_a_redis(url: str) -> None:
    assert Settings.model_validate({**SHARED, "queue": {"url": url}}).distributed


@pytest.mark.parametrize(
    ("sections", "names"),
    [
        ({"queue": {"url": "amqp://rabbit"}}, "queue.url"),
        ({"index": {"mode": "embedded"}}, "index.mode"),
        ({"state": {"url": "sqlite:///state.sqlite"}}, "state.url"),
        ({"state": {}}, "state.url"),
    ],
)
def test_what_cannot_be_shared_is_refused_by_name(sections: dict[str, Any], names: str) -> None:
    with pytest.raises(ValidationError, match=names):
        Settings.model_validate({**SHARED, "queue": {"url": "redis://redis/0"}, **sections})
