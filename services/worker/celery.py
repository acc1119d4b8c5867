"""Celery's worker, inside a process of ours: its threads, its way back to a broker that was away."""

import math
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from celery import Celery
from celery.concurrency.thread import TaskPool
from celery.worker import WorkController
from celery.worker import state as celery_state
from celery.worker.consumer import Consumer

from pipelines.core.jitter import jitter
from services.worker.broken import drop_broken_messages

BEAT_S = 1.0
SHORTEST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 2.0


class Pulse:
    """When the consumer was last seen to turn, be it that it tries to reach its broker; never before it is ready."""

    def __init__(self) -> None:
        self._at = -math.inf

    def beat(self) -> None:
        """It turns."""
        self._at = time.monotonic()

    @property
    def silent_s(self) -> float:
        """How long it has not turned."""
        return time.monotonic() - self._at


class Threads(TaskPool):  # type: ignore[misc]  # Celery ships no types
    """Celery's thread pool. Its threads are bound to the worker's app: they look tasks up in the process's default one.

    When a thread is free again it wakes the event loop, which else looks once a second whether it may take a message.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.executor = ThreadPoolExecutor(self.limit, "strata-task", initializer=self.app.set_current)
        self._ears, self._mouth = os.pipe()
        os.set_blocking(self._ears, False)
        os.set_blocking(self._mouth, False)

    def on_apply(self, *args: Any, **kwargs: Any) -> Any:
        """Runs a task in a thread."""
        result = super().on_apply(*args, **kwargs)
        result.f.add_done_callback(lambda _: self.wake())
        return result

    def register_with_event_loop(self, hub: Any) -> None:
        """Called at each start of the loop, which forgets what it listened to when a connection is lost."""
        hub.add_reader(self._ears, self._hear)
        hub.call_repeatedly(BEAT_S, self.app.pulse.beat)

    def wake(self) -> None:
        """Has the event loop turn once."""
        with suppress(OSError):  # full: it is awake; closed: it has ended
            os.write(self._mouth, b".")

    def on_stop(self) -> None:
        """Waits for the running tasks."""
        super().on_stop()
        for end in (self._ears, self._mouth):
            with suppress(OSError):
                os.close(end)

    def _hear(self) -> None:
        with suppress(BlockingIOError):
            os.read(self._ears, 4096)


class PatientConsumer(Consumer):  # type: ignore[misc]  # see above
    """Looks for its broker every second or two, for ever; Celery's own pauses grow to half a minute."""

    def ensure_connected(self, conn: Any) -> Any:
        """Connects."""

        def turning() -> None:
            celery_state.maybe_shutdown()
            self.app.pulse.beat()

        drop_broken_messages(conn)
        conn.ensure_connection(
            max_retries=None,
            interval_start=jitter(SHORTEST_PAUSE_S),
            interval_step=SHORTEST_PAUSE_S,
            interval_max=LONGEST_PAUSE_S,
            callback=turning,
        )
        self.first_connection_attempt = False
        return conn


class CeleryWorker:
    """A Celery worker that installs no signal handlers.

    Attributes:
        pulse: Of its consumer.
        ready: Set once it takes messages.
    """

    def __init__(self, app: Celery, concurrency: int) -> None:
        self.pulse = app.pulse = Pulse()
        self.ready = threading.Event()
        self._controller = WorkController(
            app=app,
            pool=Threads,
            consumer_cls=PatientConsumer,
            concurrency=concurrency,
            without_mingle=True,
            without_gossip=True,
            without_heartbeat=True,
            ready_callback=self._on_ready,
        )

    def run(self) -> None:
        """Takes messages until it is stopped; returns once the running tasks have ended."""
        self._controller.start()

    def stop(self) -> None:
        """Stops a worker that runs in another thread, and waits for its tasks."""
        self._controller.stop()

    def _on_ready(self, _: Any) -> None:
        self.pulse.beat()
        self.ready.set()

    def end_process(self) -> None:
        """Has every worker of this process stop, from a signal handler. Returns at once."""
        celery_state.should_stop = 0
        self._controller.pool.wake()
