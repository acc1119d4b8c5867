"""Sending: Celery's client blocks, so a few threads of its own do it."""

import asyncio
import logging
import time
from collections.abc import Mapping
from contextlib import suppress
from math import ceil

from kombu.exceptions import OperationalError

from pipelines.core.breaker import Breaker
from pipelines.core.errors import QueueUnavailableError
from pipelines.core.settings import QueueSettings, Role
from pipelines.core.tracing import context_headers
from services.loop import started_threads
from services.queue.app import SENDERS, build_app
from services.queue.connection import failures
from services.queue.names import SENT_AT, queue_name, task_name

NUDGED_ITEMS = 16
"""Documents or questions that one worker takes at a time."""
MAX_NUDGES = 32

logger = logging.getLogger(__name__)


class Sender:
    """Sends messages. A broker that fails several times in a row costs nothing until it is tried again.

    Attributes:
        breaker: Of the broker.
    """

    def __init__(self, settings: QueueSettings) -> None:
        self._settings = settings
        self._app = build_app(settings)
        self._threads = started_threads(SENDERS, "strata-send")
        self.breaker = Breaker("message broker", QueueUnavailableError)

    async def warm_up(self) -> None:
        """Connects, so that the first message is not slower than the next. A broker that is away is no error."""
        await asyncio.get_running_loop().run_in_executor(self._threads, self._connect)

    async def send(self, role: Role, task_id: str, payload: str, headers: Mapping[str, str], expires_s: float) -> None:
        """Puts a task on the queue of a role.

        Args:
            expires_s: A worker that takes it later than that drops it.

        Raises:
            QueueUnavailableError: the broker could not be reached, or was not tried.
        """
        self.breaker.check()
        loop = asyncio.get_running_loop()
        traced = {**context_headers(), **headers}
        await loop.run_in_executor(self._threads, self._publish, role, task_id, (payload,), traced, expires_s)

    def nudge(self, role: Role, items: int = 1) -> None:
        """See `services.work.Nudge`. Returns before the messages are sent."""
        if items > 0 and not self.breaker.open_for_s:
            with suppress(RuntimeError):  # closed already: the next look of a worker finds the work
                self._threads.submit(self._nudge, role, min(MAX_NUDGES, ceil(items / NUDGED_ITEMS)))

    def close(self) -> None:
        """Ends the threads, once what they send is sent or has failed, and closes the connections."""
        self._threads.shutdown(cancel_futures=True)
        self._app.close()

    def _nudge(self, role: Role, messages: int) -> None:
        try:
            for _ in range(messages):
                self._publish(role, None, (), {}, self._settings.poll_s)  # by then every worker looks by itself
        except QueueUnavailableError:
            logger.warning("the workers of `%s` were not told of new work; they look by themselves", role)

    def _publish(
        self, role: Role, task_id: str | None, arguments: tuple[str, ...], headers: Mapping[str, str], expires_s: float
    ) -> None:
        try:
            self._app.send_task(
                task_name(role),
                arguments,
                task_id=task_id,
                queue=queue_name(self._settings.prefix, role),
                expires=max(0.0, expires_s),
                headers={**headers, SENT_AT: time.time()},
                argsrepr="",  # else the text of questions stands in the message's headers and in logs
                kwargsrepr="",
            )
        except (OperationalError, *failures()) as error:
            self.breaker.failed()
            raise QueueUnavailableError(f"The queue could not be reached ({type(error).__name__}).") from None
        self.breaker.succeeded()

    def _connect(self) -> None:
        with suppress(OperationalError, *failures()), self._app.producer_pool.acquire(block=True) as producer:
            producer.connection.ensure_connection(max_retries=1, interval_start=0)
            _ = producer.channel
