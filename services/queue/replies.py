"""Results that come back: one task of the event loop reads them all, however many are waited for."""

import asyncio
import logging
import random
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pipelines.core.errors import QueueUnavailableError
from pipelines.core.settings import QueueSettings
from services.queue.connection import connect, failures
from services.queue.names import cancel_channel, cancel_key, reply_key
from services.queue.wire import task_id_of

BLOCK_S = 1.0
"""One wait for results on the broker; a broker that is gone without a word is noticed after it."""
CANCELLED_S = 120
"""How long the mark of a cancelled task stays."""
PAUSE_S = 0.5

logger = logging.getLogger(__name__)


class Replies:
    """Reads this process's results, and takes back what is waited for no more. Used from one event loop only.

    Args:
        on_return: Called when the broker answers again.

    Attributes:
        key: The list that workers push results to.
        reachable: Whether the broker answered the last time.
    """

    def __init__(self, settings: QueueSettings, on_return: Callable[[], None]) -> None:
        self._settings, self._on_return = settings, on_return
        self.key = reply_key(settings.prefix, uuid.uuid4().hex)
        self.reachable = False
        self._waiting: dict[str, asyncio.Future[bytes]] = {}
        self._listening = connect(settings, blocks_s=BLOCK_S)
        self._telling = connect(settings)
        self._cancelling: set[asyncio.Task[None]] = set()

    @contextmanager
    def expecting(self, task_id: str) -> Iterator[asyncio.Future[bytes]]:
        """The result of a task, once it comes. Leaving without it cancels the task, wherever it is.

        The future raises QueueUnavailableError when the broker is gone for a while.
        """
        future = self._waiting[task_id] = asyncio.get_running_loop().create_future()
        try:
            yield future
        finally:
            del self._waiting[task_id]
            if not future.done() or future.cancelled() or future.exception() is not None:
                self.cancel(task_id)

    def cancel(self, task_id: str) -> None:
        """Has a task stopped, or dropped where it waits. Returns at once."""
        telling = asyncio.ensure_future(self._tell(task_id))
        self._cancelling.add(telling)
        telling.add_done_callback(self._cancelling.discard)

    async def listen(self) -> None:
        """Reads results until it is cancelled. A broker that goes away is tried again and again."""
        heard_at = time.monotonic()
        while True:
            try:
                found = await self._listening.blpop([self.key], timeout=BLOCK_S)
            except failures() as error:
                if self.reachable:
                    logger.warning("the message broker does not answer (%s)", type(error).__name__)
                self.reachable = False
                if time.monotonic() - heard_at > self._settings.timeout_s:
                    self._give_up()
                await asyncio.sleep(PAUSE_S * random.uniform(0.5, 1.5))  # noqa: S311
                continue
            heard_at = time.monotonic()
            if not self.reachable:
                self.reachable = True
                self._on_return()
            if found:
                self._resolve(found[1])

    async def aclose(self) -> None:
        """Tells what is cancelled still, and closes the connections."""
        if self._cancelling:
            await asyncio.wait(self._cancelling, timeout=self._settings.timeout_s)
        await self._listening.aclose()
        await self._telling.aclose()

    def _resolve(self, message: bytes | str) -> None:
        assert isinstance(message, bytes), "the connection does not decode"
        future = self._waiting.get(task_id_of(message))
        if future is not None and not future.done():  # else the other try was quicker, or nobody waits any more
            future.set_result(message)

    def _give_up(self) -> None:
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(QueueUnavailableError("The queue went away while a worker was waited for."))

    async def _tell(self, task_id: str) -> None:
        prefix = self._settings.prefix
        try:
            pipe = self._telling.pipeline(transaction=False)
            pipe.set(cancel_key(prefix, task_id), b"", ex=CANCELLED_S)
            pipe.publish(cancel_channel(prefix), task_id)
            await pipe.execute()
        except failures():
            pass  # the task's own expiry and time limit end it
