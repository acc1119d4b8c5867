"""How others see that a worker lives: a file for the probe of its container, a row for whoever asks why work waits."""

import asyncio
import logging
import time
from collections.abc import Callable
from pathlib import Path

from pipelines.core.errors import StrataError
from pipelines.core.settings import Role

TOUCH_S = 2.0
SILENT_S = 15.0
"""A consumer that has not turned for so long hangs: it turns once a second, and its calls to the broker are bounded."""
BEAT_S = 5.0
SETTLE_S = 0.5
"""A turn shorter than that is a look that found nothing."""

logger = logging.getLogger(__name__)


async def touch(file: Path, silent_s: Callable[[], float]) -> None:
    """Touches a file as long as this event loop and the consumer turn. Runs until it is cancelled."""
    while True:
        if silent_s() < SILENT_S:
            try:
                file.touch()  # noqa: ASYNC240  # a loop that cannot do even this hangs
            except OSError as error:
                logger.error("queue.heartbeat_file cannot be touched: %s", error.strerror)
        await asyncio.sleep(TOUCH_S)


class Presence:
    """Tells the fleet every few seconds what this worker does, and soon when that changes.

    Args:
        beat: Tells it; takes the roles in which the worker is busy.
    """

    def __init__(self, beat: Callable[[frozenset[Role]], None], busy: Callable[[], frozenset[Role]]) -> None:
        self._beat, self._busy = beat, busy
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()

    def change(self) -> None:
        """What the worker does may have changed. For every thread."""
        self._loop.call_soon_threadsafe(self._changed.set)

    async def run(self) -> None:
        """Runs until it is cancelled."""
        told: frozenset[Role] | None = None
        told_at = 0.0
        while True:
            busy = self._busy()
            if busy != told or time.monotonic() - told_at >= BEAT_S:
                try:
                    await asyncio.to_thread(self._beat, busy)
                    told, told_at = busy, time.monotonic()
                except StrataError:
                    pass  # the database is away; the turns say so
            try:
                await asyncio.wait_for(self._changed.wait(), BEAT_S)
            except TimeoutError:
                continue
            self._changed.clear()
            await asyncio.sleep(SETTLE_S)
