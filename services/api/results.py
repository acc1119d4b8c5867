"""Results of a batch as a stream: page by page, in order, and on as they come."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from typing import Any

from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event

from pipelines.core.access import Principal
from pipelines.core.errors import NotFoundError, StateUnavailableError
from pipelines.core.state import Batches, QuestionResult
from services.api import sse
from services.api.job_schemas import JobProgress, JobView

PAGE = 50
POLL_S = 0.5


class Reader:
    """Reads one batch for one caller. Between two pages it holds no connection to the database."""

    def __init__(self, batches: Batches, job_id: str, caller: Principal) -> None:
        self._batches, self._job_id, self._caller = batches, job_id, caller

    async def check(self) -> JobView:
        """The batch.

        Raises:
            NotFoundError: the caller sees no such batch.
        """
        labels = self._caller.labels
        job = await asyncio.to_thread(self._batches.job, self._job_id, self._caller.tenant, labels=labels)
        return JobView.of(job)

    async def lines(self, after: int, *, follow: bool) -> AsyncIterator[bytes]:
        """JSON lines."""
        async for result in self._results(after, follow=follow):
            yield b"\n" if result is None else json.dumps(fields_of_result(result)).encode() + b"\n"

    async def events(self, after: int, *, follow: bool) -> AsyncIterator[bytes]:
        """Server-sent events."""
        async for result in self._results(after, follow=follow):
            if result is None:
                yield KEEPALIVE_COMMENT
            else:
                data = json.dumps({"type": "result", "result": fields_of_result(result)})
                yield format_sse_event(event="result", data_str=data, id=str(result.ordinal))
        try:
            job = await self.check()
        except NotFoundError:
            return
        if job.finished:
            yield sse.encode(JobProgress(type="finished", job=job))

    async def _results(self, after: int, *, follow: bool) -> AsyncIterator[QuestionResult | None]:
        """Results that have ended, in order, without a gap; `None` whenever nothing came for a while."""
        silent_s = 0.0
        while True:
            page = await self._page(after, follow=follow)
            for result in itertools.takewhile(lambda result: result.final, page or ()):
                after, silent_s = result.ordinal, 0.0
                yield result
            if page and page[-1].ordinal == after:
                continue  # there may be more at once
            if page == [] or not follow:
                return
            await asyncio.sleep(POLL_S)
            silent_s += POLL_S
            if silent_s >= sse.HEARTBEAT_S:
                silent_s = 0.0
                yield None

    async def _page(self, after: int, *, follow: bool) -> list[QuestionResult] | None:
        """The next questions; none after the last, or of a deleted batch; `None` while the database is away."""
        labels = self._caller.labels
        try:
            return await asyncio.to_thread(
                self._batches.results, self._job_id, self._caller.tenant, after=after, limit=PAGE, labels=labels
            )
        except NotFoundError:
            return []
        except StateUnavailableError:
            if not follow:
                raise
            return None


def fields_of_result(result: QuestionResult) -> dict[str, Any]:
    """A result as `BatchResult` describes it. An answer is passed on as it was kept: it may be of an older Strata."""
    fields: dict[str, Any] = {"ordinal": result.ordinal, "custom_id": result.custom_id, "status": result.status.value}
    if result.answer is not None:
        fields["answer"] = result.answer
    if result.error_code is not None:
        fields["error"] = {"code": result.error_code, "detail": result.error_detail or ""}
    return fields
