"""How much waits for the workers of each stage; beyond a bound, questions are told to come back."""

import asyncio
import json
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from pipelines.core.errors import OverloadedError
from pipelines.core.jitter import jitter
from pipelines.core.settings import QueueSettings, Role
from services.queue.connection import connect, failures
from services.queue.names import SENT_AT, STAGE_ROLES, queue_name, worker_channel

EVERY_S = 0.5
LONGEST_WAIT_S = 30.0


@dataclass(frozen=True, slots=True)
class Depth:
    """Of one queue.

    Attributes:
        oldest_s: How long its oldest message waits; 0 where none does.
        workers: That are connected to the broker. One that hangs or is cut off may be among them for a while.
    """

    waiting: int
    oldest_s: float
    workers: int


class Depths:
    """Looks at the queues of the stages.

    Attributes:
        current: As of the last look; empty while the broker does not answer.
    """

    def __init__(self, settings: QueueSettings) -> None:
        self._settings = settings
        self._redis = connect(settings)
        self.current: Mapping[Role, Depth] = {}

    def check(self) -> None:
        """Refuses a question while a queue is full.

        Raises:
            OverloadedError: one is.
        """
        for role, depth in self.current.items():
            if depth.waiting >= self._settings.max_waiting:
                wait_s = min(LONGEST_WAIT_S, max(1.0, depth.oldest_s))
                raise OverloadedError(
                    f"{depth.waiting} questions wait for the workers of the stage {role}; try again later.",
                    retry_after_s=wait_s,
                )

    def is_deserted(self, role: Role) -> bool:
        """Whether a stage is known to have no worker."""
        depth = self.current.get(role)
        return depth is not None and not depth.workers

    async def watch(self) -> None:
        """Looks again and again until it is cancelled."""
        while True:
            self.current = await self.look()
            await asyncio.sleep(jitter(EVERY_S, 0.8, 1.2))

    async def look(self) -> Mapping[Role, Depth]:
        """The depths now; empty where the broker does not answer."""
        pipe = self._redis.pipeline(transaction=False)
        for role in STAGE_ROLES:
            name = queue_name(self._settings.prefix, role)
            pipe.llen(name)
            pipe.lindex(name, -1)  # taken from this end
        pipe.pubsub_numsub(*(worker_channel(self._settings.prefix, role) for role in STAGE_ROLES))
        try:
            *found, listeners = await pipe.execute()
        except failures():
            return {}
        each = zip(STAGE_ROLES, found[::2], found[1::2], listeners, strict=True)
        return {role: Depth(waiting, _age_s(oldest), workers) for role, waiting, oldest, (_, workers) in each}

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._redis.aclose()


def _age_s(message: bytes | None) -> float:
    if message is not None:
        with suppress(ValueError, KeyError, TypeError):
            return max(0.0, time.time() - float(json.loads(message)["headers"][SENT_AT]))
    return 0.0
