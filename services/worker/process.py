"""One worker process: a Celery worker for its roles, the event loop of its stages, a thread for each ledger role."""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

from pipelines.core.errors import ConfigurationError, StrataError
from pipelines.core.settings import ROLES, Role, Settings
from services.queue.app import build_app
from services.queue.connection import end
from services.queue.names import LEDGER_ROLES, STAGE_ROLES
from services.runtime import Runtime
from services.telemetry.process import observed
from services.worker.celery import CeleryWorker
from services.worker.presence import Presence, touch
from services.worker.stages import Stages
from services.worker.tasks import register_stage, register_turns
from services.worker.turns import Turns

logger = logging.getLogger(__name__)


def run(settings: Settings, roles: Sequence[Role]) -> None:
    """Works until it is told to stop (SIGINT, SIGTERM): finishes what runs, gives back what waits. Again: ends at once.

    Raises:
        StrataError: it cannot start: the configuration or a model does not work.
    """
    if not settings.distributed:
        raise ConfigurationError(
            "A worker needs a broker between itself and the API: set queue.url to redis://HOST:PORT/DB. Without one, "
            "`strata serve` does all the work in one process."
        )
    with Runtime(settings) as runtime, observed(runtime, "worker"):
        _Process(runtime, tuple(role for role in ROLES if role in roles)).run()


class _Process:
    """The parts of a worker process, in the order in which they start and end."""

    def __init__(self, runtime: Runtime, roles: tuple[Role, ...]) -> None:
        self._runtime, self._roles = runtime, roles
        self._stages = [role for role in roles if role in STAGE_ROLES]
        self._turns: dict[Role, Turns] = {}
        self._celery: CeleryWorker | None = None
        self._stopping = False
        self._kept: list[asyncio.Task[None]] = []
        self._closers: list[Callable[[], Awaitable[None]]] = []

    def run(self) -> None:
        """Runs to the end."""
        with self._signals():
            try:
                self._runtime.warm_up_roles(self._roles)
                self._runtime.head_watch.start()
                celery = self._start()
                logger.info("works as %s", ", ".join(self._roles))
                celery.run()
                if not self._stopping:
                    raise StrataError("The worker's way to the queue fell over; its log says why.")
            finally:
                for turns in self._turns.values():
                    turns.end()
                for turns in self._turns.values():
                    turns.join()
                self._runtime.loop.run(self._end())
                self._leave()

    def _start(self) -> CeleryWorker:
        settings, loop = self._runtime.settings.queue, self._runtime.loop
        app = build_app(settings, roles=self._roles)
        if self._stages:
            stages = loop.run(self._make_stages())
            for role in self._stages:
                register_stage(app, role, stages.run)
        presence = loop.run(self._make_presence())
        for role in self._roles:
            if role in LEDGER_ROLES:
                work = self._runtime.turns[role]
                self._turns[role] = Turns(role, work, poll_s=settings.poll_s, on_change=presence.change)
                register_turns(app, role, self._turns[role])
        # A message of a ledger role holds a thread while its turn runs, and takes none from the stages.
        self._celery = CeleryWorker(app, (settings.concurrency if self._stages else 0) + len(self._turns))
        if settings.heartbeat_file is not None:
            pulse = self._celery.pulse
            loop.run(self._keep(touch(settings.heartbeat_file, lambda: pulse.silent_s)))
        for turns in self._turns.values():
            turns.start()
        return self._celery

    async def _make_stages(self) -> Stages:
        stages = Stages(self._runtime.settings.queue, self._runtime.runner, self._runtime.metrics.worked, self._stages)
        await self._keep(stages.listen())
        self._closers.append(stages.aclose)
        return stages

    async def _make_presence(self) -> Presence:
        presence = Presence(
            beat=lambda busy: self._runtime.fleet.beat(self._roles, busy),
            busy=lambda: frozenset(role for role, turns in self._turns.items() if turns.busy),
        )
        await self._keep(presence.run())
        return presence

    async def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        """Has something run in the event loop until that ends."""
        self._kept.append(asyncio.ensure_future(work))

    async def _end(self) -> None:
        for task in self._kept:
            await end(task)
        for close in self._closers:
            await close()

    def _leave(self) -> None:
        with suppress(StrataError):  # then the others notice that it is not heard of
            self._runtime.fleet.gone()

    @contextmanager
    def _signals(self) -> Iterator[None]:
        numbers = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, self._told) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _told(self, number: int, _: FrameType | None) -> None:
        """Stops; a second time ends the process at once."""
        if self._stopping:
            os._exit(128 + number)
        self._stopping = True
        if self._celery is None:  # still loading
            sys.exit(0)
        for turns in self._turns.values():
            turns.stop.set()  # no lock is taken here: this may have interrupted whoever holds it
        self._celery.end_process()
