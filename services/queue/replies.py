"""Results that come back: one task of the event loop reads them all, however many are waited for."""

import asyncio
import logging
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pipelines.core.errors import QueueUnavailableError
from pipelines.core.jitter import jitter
from pipelines.core.settings import QueueSettings
from services.queue.connection import connect, failures
from services.queue.names import reply_key
from services.queue.wire import task_id_of

BLOCK_S = 1.0
"""One wait for results on the broker; a broker that is gone without a word is noticed after it."""
PAUSE_S = 0.5

logger = logging.getLogger(__name__)


class Replies:
    """Reads this process's results. Used from one event loop only.

    Args:
        on_return: Called when the broker answers again.
        on_leave: Called with a task whose result is waited for no more.

    Attributes:
        key: The list that workers push results to.
        reachable: Whether the broker answered the last time.
    """

    def __init__(self, settings: QueueSettings, on_return: Callable[[], None], on_leave: Callable[[str], None]) -> None:
        self._settings, self._on_return, self._on_leave = settings, on_return, on_leave
        self.key = reply_key(settings.prefix, uuid.uuid4().hex)
        self.reachable = False
        self._waiting: dict[str, asyncio.Future[bytes]] = {}
        self._listening = connect(settings, blocks_s=BLOCK_S)

    @contextmanager
    def expecting(self, task_id: str) -> Iterator[asyncio.Future[bytes]]:
        """The result of a task, once it comes. Whoever leaves without it gives the task up.

        The future raises QueueUnavailableError when the broker is gone for a while.
        """
        future = self._waiting[task_id] = asyncio.get_running_loop().create_future()
        try:
            yield future
        finally:
            del self._waiting[task_id]
            if not future.done() or future.cancelled() or future.exception() is not None:
                self._on_leave(task_id)

    async def listen(self) -> None:
        """Reads results until it is cancelled. A broker that goes away is tried again and again."""
        heard_at = time.monotonic()
        while True:
            try:
                if not self.reachable:
                    await self._listening.exists(self.key)  # answered at once, other than the wait for results
                    self._returned()
                found = await self._listening.blpop([self.key], timeout=BLOCK_S)
            except failures() as error:
                if self.reachable:
                    logger.warning("the message broker does not answer (%s)", type(error).__name__)
                self.reachable = False
                if time.monotonic() - heard_at > self._settings.timeout_s:
                    self._give_up()
                await asyncio.sleep(jitter(PAUSE_S))
                continue
            heard_at = time.monotonic()
            if found:
                self._resolve(found[1])

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._listening.aclose()

    def _returned(self) -> None:
        self.reachable = True
        self._on_return()

    def _resolve(self, message: bytes | str) -> None:
        assert isinstance(message, bytes), "the connection does not decode"
        future = self._waiting.get(task_id_of(message))
        if future is not None and not future.done():  # else the other try was quicker, or nobody waits any more
            future.set_result(message)

    def _give_up(self) -> None:
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(QueueUnavailableError("The queue went away while a worker was waited for."))
