"""The life of the service: it listens at once, works when its parts are there, and ends when its requests have."""

import asyncio
import logging
import traceback
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from functools import partial

from pipelines.core.errors import StrataError
from services.api.context import Context
from services.api.limits import ServiceAwayError, Slots
from services.runtime import Runtime
from services.telemetry import checks, gauges
from services.work import Nudge
from services.worker.embedded import EmbeddedWorker

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 10.0

logger = logging.getLogger(__name__)


class Life:
    """Starts the service in the background. Used from one event loop, but `stopping` from anywhere.

    Args:
        prepare: Called in a thread before the parts are loaded; refuses what must not be served.

    Attributes:
        waits_for: Code of the error that keeps it from starting; empty while it loads.
        active: Requests that are being answered, probes left out.
        stopping: Set it, and no further request is taken.
        failure: Why the service will never work; `None` as long as it may.
        context: The parts, once they are there.
    """

    def __init__(self, runtime: Runtime, prepare: Callable[[], None]) -> None:
        self._runtime, self._prepare = runtime, prepare
        self._end = asyncio.Event()
        self._work: asyncio.Task[None] | None = None
        self.waits_for = ""
        self.active = 0
        self.stopping = False
        self.failure: StrataError | None = None
        self.context: Context | None = None

    @property
    def phase(self) -> str:
        """`starting`, `working`, `failed` or `stopping`."""
        if self.stopping:
            return "stopping"
        if self.failure is not None:
            return "failed"
        return "starting" if self.context is None else "working"

    def parts(self) -> Context:
        """What routes work with.

        Raises:
            ServiceAwayError: the service does not take requests.
        """
        if self.context is None or self.stopping:
            raise ServiceAwayError(f"The service is {self.phase}; try again in a moment.", retry_after_s=2.0)
        return self.context

    @contextmanager
    def request(self) -> Iterator[None]:
        """A request is being answered, which the end waits for."""
        self.active += 1
        try:
            yield
        finally:
            self.active -= 1

    def begin(self) -> None:
        """Has the service start. Returns at once."""
        self._work = asyncio.ensure_future(self._run())

    async def end(self) -> None:
        """Ends the service, once what is loading at the moment is loaded."""
        self.stopping = True
        self._end.set()
        if self._work is not None:
            await self._work

    async def _run(self) -> None:
        try:
            await self._load()
            if self._end.is_set():
                return
            async with _workers(self._runtime) as (worker, nudge):
                self.context = _context(self._runtime, worker, nudge)
                logger.info("ready")
                await self._end.wait()
                self.context.checks.close()
        except StrataError as error:
            self.failure = error
        except OSError as error:
            self.failure = StrataError(f"The service did not start: {error.strerror}: {error.filename}")
        except Exception as error:  # the boundary of the process; whoever serves ends it
            self.failure = StrataError("The service did not start; its log says why.")
            where = "".join(traceback.format_tb(error.__traceback__))
            logger.error("the service does not start: %s\n%s", type(error).__name__, where)

    async def _load(self) -> None:
        """Loads the parts, again and again as long as something that comes back is away."""
        pause_s = FIRST_PAUSE_S
        while not self._end.is_set():
            try:
                await asyncio.to_thread(self._load_once)
            except StrataError as error:
                if not error.retryable:
                    raise
                self.waits_for = error.code
                logger.warning("the service waits: %s", error.detail)
            else:
                return
            try:
                await asyncio.wait_for(self._end.wait(), pause_s)
            except TimeoutError:
                pause_s = min(LONGEST_PAUSE_S, pause_s * 2)

    def _load_once(self) -> None:
        self._prepare()
        _ = self._runtime.database
        self._runtime.warm_up()
        self._runtime.head_watch.start()


def _context(runtime: Runtime, worker: EmbeddedWorker | None, nudge: Nudge) -> Context:
    runtime.metrics.watch(gauges.state(runtime.ledger, runtime.batch_ledger, runtime.fleet))
    if worker is None:
        queue = runtime.queue
        runtime.metrics.watch(
            gauges.queue(
                lambda: queue.reachable,
                lambda: {role: (depth.waiting, depth.oldest_s) for role, depth in queue.depths.items()},
            )
        )
    slots = Slots(runtime.settings.questions_at_a_time)
    return Context(runtime, worker, nudge, slots, checks.Checks(_looks(runtime, worker)))


def _looks(runtime: Runtime, worker: EmbeddedWorker | None) -> Mapping[str, checks.Look]:
    every = {"index": checks.index, "state": checks.state, "blobs": checks.blobs, "models": checks.models}
    looks: dict[str, checks.Look] = {name: partial(look, runtime) for name, look in every.items()}
    if worker is not None:
        return {**looks, "worker": partial(_embedded, worker)}
    return {**looks, "queue": partial(_queue, runtime), "workers": partial(checks.workers, runtime)}


def _queue(runtime: Runtime) -> checks.Finding:
    return checks.Finding(True, "answers") if runtime.queue.reachable else checks.Finding(False, "queue_unavailable")


def _embedded(worker: EmbeddedWorker) -> checks.Finding:
    if not worker.running:
        return checks.Finding(False, "stopped")
    if worker.failing:
        return checks.Finding(False, "its work fails and is tried again; see the log")
    return checks.Finding(True, "running")


@asynccontextmanager
async def _workers(runtime: Runtime) -> AsyncIterator[tuple[EmbeddedWorker | None, Nudge]]:
    """Whoever does the work behind the API: a worker in this process, or those at the other end of the queue."""
    if runtime.settings.distributed:
        await runtime.queue.start()  # the runtime closes it
        yield None, runtime.queue.nudge
        return
    worker = EmbeddedWorker(runtime)
    await asyncio.to_thread(worker.start)
    try:
        yield worker, worker.nudge
    finally:
        await asyncio.to_thread(worker.stop, runtime.settings.api.shutdown_s)
