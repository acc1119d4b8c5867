"""Back-pressure: what cannot be worked off in time is refused before its body is read."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from fastapi import Depends, FastAPI, Request

from pipelines.core.errors import OverloadedError
from services.runtime import Runtime

FRESH_S = 1.0
"""How long a count is used for: a flood of submissions asks the database once a second."""

RETRY_AFTER_S = 10.0


class Gate:
    """Refuses work while too much waits. Used from one event loop.

    Args:
        count: Asks the state database how much waits.
        what: Of the detail, such as `documents`.
    """

    def __init__(self, count: Callable[[], int], limit: int, what: str) -> None:
        self._count, self._limit, self._what = count, limit, what
        self._asking = asyncio.Lock()
        self._waiting = 0
        self._counted_at = float("-inf")

    async def check(self) -> None:
        """Lets work in.

        Raises:
            OverloadedError: as much waits as may.
            StateUnavailableError: nothing could be accepted anyway.
        """
        async with self._asking:
            if time.monotonic() - self._counted_at >= FRESH_S:
                self._waiting = await asyncio.to_thread(self._count)
                self._counted_at = time.monotonic()
        if self._waiting >= self._limit:
            raise OverloadedError(
                f"{self._waiting:,} {self._what} wait to be worked off already, the most that may; come back later.",
                retry_after_s=RETRY_AFTER_S,
            )


@dataclass(frozen=True, slots=True)
class Gates:
    """Of documents and of questions in batches."""

    documents: Gate
    questions: Gate


def install(app: FastAPI, runtime: Runtime) -> None:
    """Builds the gates of an app. Nothing is asked before the first submission."""

    def documents() -> int:
        return runtime.ledger.queued()

    def questions() -> int:
        return runtime.batch_ledger.waiting()

    settings = runtime.settings
    app.state.gates = Gates(
        Gate(documents, settings.ingest.max_queued, "documents"),
        Gate(questions, settings.batch.max_waiting, "questions"),
    )


async def _documents(request: Request) -> None:
    gates: Gates = request.app.state.gates
    await gates.documents.check()


async def _questions(request: Request) -> None:
    gates: Gates = request.app.state.gates
    await gates.questions.check()


DOCUMENTS = Depends(_documents)
"""Of a route that takes documents: it is asked before the route reads its body."""

QUESTIONS = Depends(_questions)
"""Of a route that takes batches of questions."""
