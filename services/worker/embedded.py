"""A Celery worker inside this process, for the mode in which nothing needs to be installed."""

import asyncio
import logging
import threading
import time
import uuid
from contextlib import suppress

from pipelines.core.errors import StrataError
from pipelines.core.settings import Role
from services.queue.app import build_app
from services.queue.names import queue_name, task_name
from services.runtime import Runtime
from services.worker.celery import CeleryWorker
from services.worker.presence import Presence
from services.worker.tasks import register_turns
from services.worker.turns import Turns

READY_S = 30.0

logger = logging.getLogger(__name__)


class EmbeddedWorker:
    """Does what the ledger holds in background threads, sharing this process's encoder and index.

    Each role takes one thread: a forward pass already uses every core, and the embedded index has one writer. Installs
    no signal handlers.
    """

    def __init__(self, runtime: Runtime) -> None:
        settings = runtime.settings.queue
        self._prefix = f"{settings.prefix}-{uuid.uuid4().hex[:8]}"
        self._app = build_app(settings, roles=runtime.turns, prefix=self._prefix)
        self._runtime = runtime
        self._turns = {
            role: Turns(role, work, poll_s=settings.poll_s, on_change=self._changed)
            for role, work in runtime.turns.items()
        }
        self._presence: Presence | None = None
        self._present: asyncio.Task[None] | None = None
        for role, turns in self._turns.items():
            register_turns(self._app, role, turns)
        runtime.nudge = self.nudge
        self._celery: CeleryWorker | None = None
        self._thread: threading.Thread | None = None
        self._stopped = True

    @property
    def running(self) -> bool:
        """Whether the worker takes work."""
        alive = self._thread is not None and self._thread.is_alive()
        return alive and self._celery is not None and self._celery.ready.is_set()

    @property
    def stopped(self) -> bool:
        """Whether no thread of the worker is left."""
        return self._stopped

    @property
    def failing(self) -> bool:
        """Whether some role's work as a whole fails, and is tried again after a pause."""
        return any(turns.failing for turns in self._turns.values())

    def start(self) -> None:
        """Starts the worker and has it look for work: its first turn frees what a killed process held.

        Raises:
            RuntimeError: the worker did not start.
        """
        for name in ("celery", "kombu"):
            logging.getLogger(name).setLevel(logging.WARNING)
        self._celery = CeleryWorker(self._app, len(self._turns))
        self._thread = threading.Thread(target=self._celery.run, name="strata-worker", daemon=True)
        self._stopped = False
        self._thread.start()
        if not self._celery.ready.wait(READY_S):
            raise RuntimeError("the embedded worker did not start")
        self._runtime.loop.run(self._appear())
        for turns in self._turns.values():
            turns.start()

    def nudge(self, role: Role, items: int = 1) -> None:
        """See `services.work.Nudge`."""
        if items <= 0:
            return
        try:
            self._app.send_task(task_name(role), queue=queue_name(self._prefix, role))
        except Exception as error:  # the boundary of the process; the next look finds the work
            logger.warning("the queue could not be reached (%s); accepted work waits", type(error).__name__)

    def stop(self, timeout_s: float) -> None:
        """Ends the worker; documents begun are finished as far as the time allows, the others stay queued.

        What has not ended then (see `stopped`) fails once the index is closed, and is given back.
        """
        for turns in self._turns.values():
            turns.end()
        if self._celery is None or self._thread is None:
            return
        end = time.monotonic() + timeout_s
        self._runtime.loop.run(self._disappear())
        # The controller waits for the running tasks, so its stop has a thread of its own.
        stopper = threading.Thread(target=self._celery.stop, name="strata-worker-stop", daemon=True)
        stopper.start()
        ended = [turns.join(max(0.0, end - time.monotonic())) for turns in self._turns.values()]
        for thread in (stopper, self._thread):
            thread.join(max(0.0, end - time.monotonic()))
        self._app.close()
        self._stopped = all(ended) and not stopper.is_alive() and not self._thread.is_alive()
        if not self._stopped:
            logger.warning(
                "the batch being worked on did not end within %g s; it is resumed at the next start", timeout_s
            )

    # --- How others see it -----------------------------------------------------------------------------------------

    async def _appear(self) -> None:
        self._presence = Presence(
            beat=lambda busy: self._runtime.fleet.beat(self._turns, busy),
            busy=lambda: frozenset(role for role, turns in self._turns.items() if turns.busy),
        )
        self._present = asyncio.ensure_future(self._presence.run())

    async def _disappear(self) -> None:
        self._presence = None
        if self._present is not None:
            self._present.cancel()
            await asyncio.wait([self._present])
            with suppress(StrataError):  # then it is soon not heard of any more
                await asyncio.to_thread(self._runtime.fleet.gone)

    def _changed(self) -> None:
        if (presence := self._presence) is not None:
            presence.change()
