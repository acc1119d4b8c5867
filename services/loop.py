"""One event loop for all model calls of a process: LiteLLM loses callbacks and connections across loops."""

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any, Self, TypeVar

T = TypeVar("T")


def started_threads(number: int, name: str) -> ThreadPoolExecutor:
    """A pool whose threads are all there at once, so that a process has as many idle as under load."""
    threads, met = ThreadPoolExecutor(number, name), threading.Barrier(number)
    wait([threads.submit(met.wait) for _ in range(number)])  # each holds a thread until there is one for all
    return threads


class EventLoop:
    """An event loop that threads hand work to: one in a thread of its own, started when first needed.

    Args:
        loop: One that runs already and is somebody else's to end, such as that of the API.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self._loop = loop
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()

    @classmethod
    def running(cls) -> Self:
        """The loop that runs this very code."""
        return cls(asyncio.get_running_loop())

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs something to its end, from any thread but the loop's own. An interrupt cancels it."""
        future = asyncio.run_coroutine_threadsafe(work, self._started())
        try:
            return future.result()
        finally:
            future.cancel()

    def close(self) -> None:
        """Cancels what runs and ends the thread, where there is one. Idempotent."""
        thread, loop = self._thread, self._loop
        if thread is None or loop is None:
            return
        self._thread = self._loop = None
        asyncio.run_coroutine_threadsafe(_cancel_others(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()

    def _started(self) -> asyncio.AbstractEventLoop:
        with self._starting:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._loop.run_forever, name="strata-loop", daemon=True)
                self._thread.start()
            return self._loop


async def _cancel_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_asyncgens()
    await asyncio.get_running_loop().shutdown_default_executor()
