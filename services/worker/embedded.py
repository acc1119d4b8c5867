"""A Celery worker inside this process, for the mode in which nothing needs to be installed."""

import logging
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from celery.concurrency.thread import TaskPool
from celery.worker import WorkController

from services.runtime import Runtime
from services.worker.app import INGEST, build_app, nudge, register_ingest
from services.worker.ingester import Ingester

READY_S = 30.0

logger = logging.getLogger(__name__)


class _Threads(TaskPool):  # type: ignore[misc]  # Celery ships no types
    """Celery's thread pool, its threads bound to the worker's app: they look tasks up in the process's default one."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.executor = ThreadPoolExecutor(self.limit, "strata-ingest", initializer=self.app.set_current)


class EmbeddedWorker:
    """Ingests in a background thread, sharing this process's encoder and index. Installs no signal handlers.

    Ingestion takes one thread: a forward pass already uses every core, and the embedded index has one writer.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._ingester = Ingester(runtime.ingestion, runtime.ledger)
        self._app = build_app(runtime.settings.queue, queue=f"{INGEST}.{uuid.uuid4().hex[:8]}")
        register_ingest(self._app, self._ingester)
        self._ready = threading.Event()
        self._controller: Any = None
        self._thread: threading.Thread | None = None
        self._stopped = True

    @property
    def running(self) -> bool:
        """Whether the worker takes work."""
        return self._ready.is_set() and self._thread is not None and self._thread.is_alive()

    @property
    def stopped(self) -> bool:
        """Whether no thread of the worker is left."""
        return self._stopped

    @property
    def failing(self) -> bool:
        """Whether ingestion as a whole fails, and is tried again after a pause."""
        return self._ingester.failing

    def start(self) -> None:
        """Starts the worker and has it look for work: its first turn frees what a killed process held.

        Raises:
            RuntimeError: the worker did not start.
        """
        for name in ("celery", "kombu"):
            logging.getLogger(name).setLevel(logging.WARNING)
        self._controller = WorkController(
            app=self._app,
            pool=_Threads,
            concurrency=1,
            without_mingle=True,
            without_gossip=True,
            without_heartbeat=True,
            ready_callback=lambda _: self._ready.set(),
        )
        self._thread = threading.Thread(target=self._controller.start, name="strata-worker", daemon=True)
        self._stopped = False
        self._thread.start()
        if not self._ready.wait(READY_S):
            raise RuntimeError("the embedded worker did not start")
        self.nudge()

    def nudge(self) -> None:
        """Says that there is work. Never fails: the ledger has it, and the next nudge brings it up again."""
        try:
            nudge(self._app)
        except Exception as error:
            logger.warning("the queue could not be reached (%s); accepted work waits", type(error).__name__)

    def stop(self, timeout_s: float) -> None:
        """Ends the worker; documents begun are finished as far as the time allows, the others stay queued.

        What has not ended then (see `stopped`) fails once the index is closed, and is given back.
        """
        self._ingester.stop.set()
        if self._thread is None:
            return
        # The controller waits for the running task, so its stop has a thread of its own.
        stopper = threading.Thread(target=self._controller.stop, name="strata-worker-stop", daemon=True)
        stopper.start()
        stopper.join(timeout_s)
        self._thread.join(0 if stopper.is_alive() else timeout_s)
        self._app.close()
        self._stopped = not stopper.is_alive() and not self._thread.is_alive()
        if not self._stopped:
            logger.warning(
                "the batch being indexed did not end within %g s; it is resumed at the next start", timeout_s
            )
