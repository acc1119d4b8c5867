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


def test_where_a_question_mostly_waits_more_are_answered_at_a_time() -> None:
    queue = {"queue": {"url": "redis://redis/0"}}
    assert Settings().questions_at_a_time < Settings.model_validate({**SHARED, **queue}).questions_at_a_time
    asked_for = {**SHARED, **queue, "api": {"max_concurrent_questions": 3}}
    assert Settings.model_validate(asked_for).questions_at_a_time == 3
