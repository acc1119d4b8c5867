"""A job as a stream of events: the job when it changed, and each document that did."""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event

from pipelines.core.access import Principal
from pipelines.core.errors import NotFoundError, StateUnavailableError
from pipelines.core.state import Job, JobItem, Progress
from services.api import sse
from services.api.job_schemas import JobItemChanged, JobItemView, JobProgress, JobView

POLL_S = 0.3
PAGE = 200
REST = 4.0
"""Pause between two looks, in times of what the last one took: one listener at a large job leaves room for others."""
LONGEST_S = 5.0

SETTLED = timedelta(seconds=5)
"""Changes younger than this are read again: one may become visible after a later one, by transactions and clocks."""

_EVER = datetime(1970, 1, 1, tzinfo=UTC)
_ID = re.compile(r"([0-9]{1,16})-([0-9]{1,9})")


class JobEvents:
    """Follows one job for one caller."""

    def __init__(self, progress: Progress, caller: Principal, job: Job) -> None:
        self._progress, self._caller, self._job = progress, caller, job
        self._position = (_EVER, -1)
        self._told: dict[int, datetime] = {}

    async def stream(self, last_id: str) -> AsyncIterator[bytes]:
        """The events, until the job is finished.

        Args:
            last_id: Of the last event that the client had; empty or foreign where it had none.
        """
        self._position = _resumed(last_id)
        shown: Job | None = None
        silent_s = 0.0
        while True:
            began = time.monotonic()
            job = self._job  # read before its items: once it is finished, they do not change any more
            async for event in self._items():
                silent_s = 0.0
                yield event
            if job != shown:
                shown, silent_s = job, 0.0
                kind = "finished" if job.finished else "progress"
                yield sse.encode(JobProgress(type=kind, job=JobView.of(job)))
            if job.finished:
                return
            pause_s = min(LONGEST_S, max(POLL_S, REST * (time.monotonic() - began)))
            await asyncio.sleep(pause_s)
            silent_s += pause_s
            if silent_s >= sse.HEARTBEAT_S:
                silent_s = 0.0
                yield KEEPALIVE_COMMENT
            try:
                self._job = await asyncio.to_thread(
                    self._progress.job, job.id, self._caller.tenant, labels=self._caller.labels
                )
            except StateUnavailableError:
                continue  # it may come back; the comments keep the client waiting
            except NotFoundError:
                return  # it was removed

    async def _items(self) -> AsyncIterator[bytes]:
        since, looked_at = self._position, datetime.now(UTC)
        while True:
            try:
                changed = await asyncio.to_thread(
                    self._progress.changed,
                    self._job.id,
                    self._caller.tenant,
                    labels=self._caller.labels,
                    since=since,
                    limit=PAGE,
                )
            except (StateUnavailableError, NotFoundError):
                return
            for item in changed:
                since = (item.updated_at, item.ordinal)
                if self._told.get(item.ordinal) != item.updated_at:
                    self._told[item.ordinal] = item.updated_at
                    yield _encode(item)
            if len(changed) < PAGE:
                break
        settled = looked_at - SETTLED
        self._position = min(since, (settled, -1))
        self._told = {ordinal: at for ordinal, at in self._told.items() if at >= settled}


def _encode(item: JobItem) -> bytes:
    event = JobItemChanged(item=JobItemView.of(item))
    at = round(item.updated_at.timestamp() * 1e6)
    return format_sse_event(event=event.type, data_str=event.model_dump_json(), id=f"{at}-{item.ordinal}")


def _resumed(last_id: str) -> tuple[datetime, int]:
    """Where to go on: a little before the event, for those that became visible after it."""
    found = _ID.fullmatch(last_id)
    if found is None:
        return _EVER, -1
    return max(_EVER, _EVER + timedelta(microseconds=int(found[1])) - SETTLED), -1
