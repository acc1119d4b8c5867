"""Sweeping: files that nothing needs and records that were kept long enough, a little at a time."""

import logging
import threading
import time
from collections.abc import Callable

from pipelines.core.blobs import BlobStore
from pipelines.core.settings import Settings
from pipelines.core.state import Ledger, Retention
from services.documents.leftovers import UNUSED_S, drop

SWEEP_S = 3600.0
"""Rest between two passes over everything."""

PART_S = 60.0
"""Rest between two parts of a pass; a process that dies in one is followed by another after it."""

BUDGET_S = 5.0
"""Time for one part: documents wait meanwhile."""

SHARDS = 256
TURN = "sweep"

logger = logging.getLogger(__name__)


class Sweeper:
    """Sweeps for all processes, whenever it is due. Call it often: as a rule it looks at a clock.

    Args:
        clock: Seconds that never go back.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        ledger: Ledger,
        retention: Retention,
        blobs: BlobStore,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings, self._ledger, self._retention, self._blobs = settings, ledger, retention, blobs
        self._clock = clock
        self._look_at = float("-inf")

    def sweep(self, stop: threading.Event) -> None:
        """Takes the next part of a pass where it is due.

        Raises:
            StrataError: state or blobs cannot be used; the part is due again later.
        """
        if self._clock() < self._look_at:
            return
        self._look_at = self._clock() + PART_S
        self._blobs.remove_partial()
        place = self._retention.take_turn(TURN, PART_S)
        if place is None:
            return
        first = int(place) if place.isdigit() else 0
        if first == 0:
            self._forget(stop)
        shard = self._drop_shards(first, stop)
        done = shard == SHARDS
        self._retention.end_turn(TURN, "0" if done else str(shard), SWEEP_S if done else PART_S)

    def _forget(self, stop: threading.Event) -> None:
        """Removes records that were kept long enough."""
        state, retention = self._settings.state, self._retention
        end = self._clock() + BUDGET_S
        for forget, keep_days, some in (
            (retention.forget_receipts, state.keep_receipts_days, 1000),
            (retention.forget_traces, self._settings.traces.keep_days, 200),
            (retention.forget_jobs, state.keep_jobs_days, 20),
            (retention.forget_batches, self._settings.batch.keep_days, 5),
        ):
            while forget(keep_days, some) == some and self._clock() < end and not stop.is_set():
                pass

    def _drop_shards(self, first: int, stop: threading.Event) -> int:
        """Removes files that nothing needs, from a shard on, as far as the time goes; returns the next shard."""
        end = self._clock() + BUDGET_S
        dropped = 0
        for shard in range(first, SHARDS):
            if stop.is_set() or (shard > first and self._clock() >= end):
                break
            unused = self._blobs.keys(unused_for_s=UNUSED_S, shard=shard)
            dropped += drop(self._ledger, self._blobs, unused)
        else:
            shard = SHARDS
        if dropped:
            logger.info("removed %d files that nothing needs any more", dropped)
        return shard
