"""Runs the small stages that come by message, on the one event loop of the process, and sends their results."""

import asyncio
import contextlib
import logging
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from typing import Final, TypeVar

from pipelines.core.errors import StrataError
from pipelines.core.jitter import jitter
from pipelines.core.settings import QueueSettings, Role
from pipelines.core.tasks import CiteTask, PlanTask, PruneTask, Runner, Task
from pipelines.core.tracing import from_headers, span
from pipelines.core.types import Value
from services.queue.connection import connect, failures
from services.queue.names import REPLY_TO, cancel_channel, cancel_key, worker_channel
from services.queue.wire import pack

TaskT = TypeVar("TaskT", bound=Task)

REPLY_TRIES: Final = 4
REPLIES_S: Final = 120
"""How long results wait for a process that is gone."""
LISTEN_S: Final = 2.0
UNANSWERED: Final = 3
"""Pings in a row without an answer, after which the worker connects anew."""
PAUSE_S: Final = 0.5

logger = logging.getLogger(__name__)


class Stages:
    """The stages of this process. Build and use it on its event loop; `run` is for every other thread.

    Args:
        worked: Hears of each task that ended: its role, `ok` or `cancelled` or the code of the error, its seconds.
        roles: What this process does, for those that ask.
    """

    def __init__(
        self,
        settings: QueueSettings,
        runner: Runner,
        worked: Callable[[str, str, float], None],
        roles: Iterable[Role],
    ) -> None:
        self._settings, self._runner, self._worked = settings, runner, worked
        self._channels = [worker_channel(settings.prefix, role) for role in roles]  # to be counted; nobody publishes
        self._loop = asyncio.get_running_loop()
        self._redis = connect(settings)
        self._running: dict[str, asyncio.Task[None]] = {}

    @property
    def busy(self) -> bool:
        """Whether a task is running."""
        return bool(self._running)

    def run(self, role: Role, task_id: str, payload: str, headers: Mapping[str, object]) -> None:
        """Runs a task to its end, and blocks until then."""
        asyncio.run_coroutine_threadsafe(self._run(role, task_id, payload, headers), self._loop).result()

    async def listen(self) -> None:
        """Stops tasks that are cancelled, until it is cancelled itself."""
        while True:
            with contextlib.suppress(*failures()):
                async with self._redis.pubsub() as hears:
                    await hears.subscribe(cancel_channel(self._settings.prefix), *self._channels)
                    for task_id in list(self._running):  # what was cancelled while nobody listened
                        if await self._is_cancelled(task_id):
                            self._stop(task_id)
                    unanswered = 0
                    while unanswered < UNANSWERED:  # a connection can be cut without a word
                        heard = await hears.get_message(timeout=LISTEN_S)
                        if heard is None:
                            unanswered += 1
                            await hears.ping()
                            continue
                        unanswered = 0
                        if heard["type"] == "message":
                            self._stop(heard["data"].decode(errors="replace"))
            await asyncio.sleep(jitter(PAUSE_S))

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._redis.aclose()

    async def _run(self, role: Role, task_id: str, payload: str, headers: Mapping[str, object]) -> None:
        # A task of its own: stopping it must not look like the end of whoever waits for it.
        work = self._running[task_id] = asyncio.ensure_future(self._work(role, task_id, payload, headers))
        try:
            await asyncio.wait({work})
        finally:
            del self._running[task_id]
        if not work.cancelled():
            work.result()

    async def _work(self, role: Role, task_id: str, payload: str, headers: Mapping[str, object]) -> None:
        key = headers.get(REPLY_TO)
        if not isinstance(key, str) or await self._is_cancelled(task_id):
            return
        started, ended = time.monotonic(), "cancelled"
        try:
            with from_headers(headers), span(role, kind="consumer"):
                outcome = await self._outcome(role, payload)
            ended = outcome.code if isinstance(outcome, StrataError) else "ok"
        finally:
            self._worked(role, ended, time.monotonic() - started)
        await self._reply(key, pack(task_id, outcome))

    async def _outcome(self, role: Role, payload: str) -> Value | StrataError:
        try:
            if role == "plan":
                return await self._runner.plan(PlanTask.model_validate_json(payload))
            if role == "prune":
                return await self._runner.prune(PruneTask.model_validate_json(payload))
            return await self._runner.cite(CiteTask.model_validate_json(payload))
        except StrataError as error:
            return error
        except Exception as error:  # the boundary of the process; the message may quote a question
            where = "".join(traceback.format_tb(error.__traceback__))
            logger.error("a task of the stage `%s` failed: %s\n%s", role, type(error).__name__, where)
            return StrataError("Something unforeseen went wrong in a worker; its log has more.")

    async def _reply(self, key: str, message: bytes) -> None:
        for number in range(1, REPLY_TRIES + 1):
            try:
                pipe = self._redis.pipeline(transaction=False)
                pipe.rpush(key, message)
                pipe.expire(key, REPLIES_S)
                await pipe.execute()
            except failures() as error:
                if number == REPLY_TRIES:  # whoever asked has sent it again, or done it otherwise
                    logger.warning("a result could not be sent: the broker does not answer (%s)", type(error).__name__)
                    return
                await asyncio.sleep(jitter(PAUSE_S))
            else:
                return

    async def _is_cancelled(self, task_id: str) -> bool:
        try:
            return bool(await self._redis.exists(cancel_key(self._settings.prefix, task_id)))
        except failures():
            return False

    def _stop(self, task_id: str) -> None:
        work = self._running.get(task_id)
        if work is not None:
            work.cancel()
