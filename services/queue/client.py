"""What a process that asks holds of the queue: its runner, its nudge, its view of the depths."""

import asyncio
from collections.abc import Callable, Mapping

from pipelines.core.settings import Role, Settings
from pipelines.core.tasks import Runner
from services.queue.cancels import Cancels
from services.queue.connection import end
from services.queue.depths import Depth, Depths
from services.queue.replies import Replies
from services.queue.runner import CeleryRunner
from services.queue.sender import Sender


class QueueClient:
    """The sending side of one process. Start and close it in the event loop that asks questions.

    Args:
        lesser: Does a stage where no worker does.
        hedged: Hears of each stage whose task is sent a second time.

    Attributes:
        runner: Runs the small stages on workers.
    """

    def __init__(self, settings: Settings, lesser: Runner, hedged: Callable[[str], None] = lambda _: None) -> None:
        self._sender = Sender(settings.queue)
        self._cancels = Cancels(settings.queue)
        self._replies = Replies(settings.queue, self._sender.breaker.succeeded, self._cancels.cancel)
        self._depths = Depths(settings.queue)
        self.runner: Runner = CeleryRunner(
            settings, self._sender, self._replies, lesser, hedged=hedged, deserted=self._depths.is_deserted
        )
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begins to listen. A broker that is away is no error: it is waited for."""
        self._tasks = [asyncio.ensure_future(each) for each in (self._replies.listen(), self._depths.watch())]
        await self._sender.warm_up()

    async def aclose(self) -> None:
        """Stops listening and closes every connection."""
        for task in self._tasks:
            await end(task)
        self._tasks = []
        await self._replies.aclose()
        await self._cancels.aclose()
        await self._depths.aclose()
        await asyncio.to_thread(self._sender.close)

    @property
    def reachable(self) -> bool:
        """Whether the broker answered the last time."""
        return self._replies.reachable

    @property
    def depths(self) -> Mapping[Role, Depth]:
        """What waits for the workers of each stage; empty while the broker does not answer."""
        return self._depths.current

    def check(self) -> None:
        """Refuses a question while the queue of a stage is full.

        Raises:
            OverloadedError: one is.
        """
        self._depths.check()

    def nudge(self, role: Role, items: int = 1) -> None:
        """See `services.work.Nudge`."""
        self._sender.nudge(role, items)
