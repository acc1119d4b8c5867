"""Batches of questions: whoever runs the role `answers` takes them from the state database and answers them."""

import asyncio
import logging
import math
import threading
import time
import traceback
from collections.abc import Awaitable, Callable
from functools import partial

from pipelines.core.errors import (
    BlobsUnavailableError,
    IndexMismatchError,
    IndexUnavailableError,
    OverloadedError,
    QueueUnavailableError,
    StateUnavailableError,
    StrataError,
    UnforeseenQuestionError,
)
from pipelines.core.state import Batches, QuestionItem, owner_id
from pipelines.core.types import Answer, Question
from services.loop import EventLoop

PULSE_S = 0.25
"""How often a turn looks whether it is to stop."""

EXTEND_S = 2.0
"""How often leases are prolonged: so soon a cancelled question stops costing anything."""

GRACE_S = 3.0
"""At a stop, time for questions that are nearly answered: their models are paid for."""

LOOK_S = 1.0
"""How often a turn that has room left looks for questions that came meanwhile."""

AWAY = (IndexUnavailableError, IndexMismatchError, StateUnavailableError, QueueUnavailableError, BlobsUnavailableError)
"""Errors that are no question's fault: the turn ends, and the questions wait until the dependency is back."""

logger = logging.getLogger(__name__)


class BatchAnswering:
    """Answers the questions of batches.

    Args:
        concurrency: Questions at a time.
        lease_s: After which another worker takes the questions of one that was not heard of.
        ask: Answers a question, in `loop`.
    """

    def __init__(
        self,
        batches: Batches,
        *,
        ask: Callable[[Question], Awaitable[Answer]],
        loop: Callable[[], EventLoop],
        concurrency: int,
        lease_s: float,
    ) -> None:
        self._batches, self._ask, self._loop = batches, ask, loop
        self._concurrency, self._lease_s = concurrency, lease_s

    def turn(self, stop: threading.Event) -> bool:
        """One turn; see `services.work.Work`."""
        self._loop().run(_Turn(self._batches, self._ask, self._concurrency, self._lease_s, stop).run())
        return not stop.is_set() and self._batches.next_due_s() is not None


class _Turn:
    """Questions that are being answered, until none is due. Lives in one event loop."""

    def __init__(
        self,
        batches: Batches,
        ask: Callable[[Question], Awaitable[Answer]],
        concurrency: int,
        lease_s: float,
        stop: threading.Event,
    ) -> None:
        self._batches, self._ask, self._concurrency, self._lease_s = batches, ask, concurrency, lease_s
        self._stop = stop
        self._owner = owner_id()
        self._held: dict[asyncio.Task[None], QuestionItem] = {}
        self._away: StrataError | None = None

    async def run(self) -> None:
        """Works.

        Raises:
            StrataError: a dependency cannot be used; what was not answered is given back.
        """
        leases = asyncio.ensure_future(self._keep_leases())
        try:
            await self._work()
        finally:
            leases.cancel()
            await self._end()
        if self._away is not None:
            raise self._away

    async def _work(self) -> None:
        look_at = 0.0
        while not self._stop.is_set() and self._away is None:
            room = self._concurrency - len(self._held)
            due = not self._held or time.monotonic() >= look_at
            if room and due and not any(item.alone for item in self._held.values()):
                claimed = await self._claim(room)
                look_at = time.monotonic() + LOOK_S if len(claimed) < room else 0.0
            if not self._held:
                return
            done, _ = await asyncio.wait(self._held, timeout=PULSE_S, return_when=asyncio.FIRST_COMPLETED)
            self._forget(done)

    async def _claim(self, room: int) -> list[QuestionItem]:
        try:
            claimed = await asyncio.to_thread(
                self._batches.claim, room, self._owner, self._lease_s, holding=len(self._held)
            )
        except StateUnavailableError as error:
            self._away = error  # those at hand end first: their answers may be kept yet
            return []
        for item in claimed:
            self._held[asyncio.ensure_future(self._answer(item))] = item
        return claimed

    async def _answer(self, item: QuestionItem) -> None:
        try:
            answer = await self._ask(item.question)
        except AWAY as error:
            self._away = error
            await self._record(partial(self._batches.release, item))
        except OverloadedError as error:
            await self._record(partial(self._batches.postpone, item, error))
        except StrataError as error:
            await self._record(partial(self._batches.fail, item, error))
        except Exception as error:  # the message of a foreign exception may quote a document
            where = "".join(traceback.format_tb(error.__traceback__))
            logger.error("question %d of batch %s: %s\n%s", item.ordinal, item.job_id, type(error).__name__, where)
            await self._record(partial(self._batches.fail, item, UnforeseenQuestionError()))
        else:
            await self._record(partial(self._batches.finish, item, answer))

    async def _record(self, write: Callable[[], object]) -> None:
        """Writes what became of a question, again and again for as long as its lease: it may have been paid for."""
        until = time.monotonic() + self._lease_s
        while True:
            try:
                await asyncio.to_thread(write)
                return
            except StateUnavailableError as error:
                self._away = error
                if time.monotonic() >= until:
                    return  # the lease ends, and somebody answers it anew
                await asyncio.sleep(LOOK_S)

    async def _keep_leases(self) -> None:
        every_s = min(EXTEND_S, self._lease_s / 3)
        while True:
            await asyncio.sleep(every_s)
            held = dict(self._held)
            if not held:
                continue
            try:
                wanted = await asyncio.to_thread(self._batches.extend, list(held.values()), self._lease_s)
            except StrataError:
                continue  # the next round tries again
            for task, item in held.items():
                if item.token not in wanted:
                    task.cancel()

    def _forget(self, done: set[asyncio.Task[None]]) -> None:
        for task in done:
            self._held.pop(task)
            if not task.cancelled() and (error := task.exception()) is not None:
                raise error

    async def _end(self) -> None:
        """Waits for what is at hand: while it stops, for a moment only. Gives back what has not ended then."""
        stop_at = math.inf
        while any(not task.done() for task in self._held) and time.monotonic() < stop_at:
            if self._stop.is_set():
                stop_at = min(stop_at, time.monotonic() + GRACE_S)
            await asyncio.wait(self._held, timeout=PULSE_S)
        left = {task: item for task, item in self._held.items() if not task.done()}
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left)
        for item in left.values():
            try:
                await asyncio.to_thread(self._batches.release, item)
            except StrataError as error:
                logger.warning("question %d of batch %s was not given back: %s", item.ordinal, item.job_id, error.code)
