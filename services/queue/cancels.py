"""Takes back tasks that nobody waits for any more."""

import asyncio
from contextlib import suppress

from pipelines.core.settings import QueueSettings
from services.queue.connection import connect, end, failures
from services.queue.names import cancel_channel, cancel_key

CANCELLED_S = 120
"""How long the mark of a cancelled task stays."""


class Cancels:
    """Tells the workers which tasks are cancelled, however many at a time. Used from one event loop only."""

    def __init__(self, settings: QueueSettings) -> None:
        self._settings = settings
        self._redis = connect(settings)
        self._waiting: list[str] = []
        self._telling: asyncio.Task[None] | None = None

    def cancel(self, task_id: str) -> None:
        """Has a task stopped, or dropped where it waits. Returns at once."""
        self._waiting.append(task_id)
        if self._telling is None or self._telling.done():
            self._telling = asyncio.ensure_future(self._tell())

    async def aclose(self) -> None:
        """Tells what is to be told still, and closes the connections."""
        if self._telling is not None:
            await asyncio.wait({self._telling}, timeout=self._settings.timeout_s)
            await end(self._telling)
        await self._redis.aclose()

    async def _tell(self) -> None:
        prefix = self._settings.prefix
        while self._waiting:
            task_ids, self._waiting = self._waiting, []
            pipe = self._redis.pipeline(transaction=False)
            for task_id in task_ids:
                pipe.set(cancel_key(prefix, task_id), b"", ex=CANCELLED_S)
                pipe.publish(cancel_channel(prefix), task_id)
            with suppress(*failures()):  # the task's own expiry and time limit end it
                await pipe.execute()
