"""What every route needs, built once an app."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Request

from pipelines.core.settings import Settings
from services.api.limits import Slots
from services.runtime import Runtime
from services.telemetry.checks import Checks
from services.work import Nudge
from services.worker.embedded import EmbeddedWorker

if TYPE_CHECKING:
    from services.api.life import Life


@dataclass(frozen=True, slots=True)
class Context:
    """The parts of the app.

    Attributes:
        worker: Does the work behind the API; `None` where processes of their own do it.
        nudge: Tells the workers of work that was accepted.
        checks: Look at what the service stands on.
    """

    runtime: Runtime
    worker: EmbeddedWorker | None
    nudge: Nudge
    slots: Slots
    checks: Checks

    @property
    def settings(self) -> Settings:
        """The runtime's settings."""
        return self.runtime.settings

    def admit(self) -> None:
        """Lets a question in, or refuses it before any work is done.

        Raises:
            OverloadedError: too many wait for the workers of some stage, or the model that writes is away.
        """
        self.runtime.asking.admit()
        if self.settings.distributed:
            self.runtime.queue.check()


async def _context(request: Request) -> Context:  # async: no thread is taken for it
    life: Life = request.app.state.life
    return life.parts()


Ctx = Annotated[Context, Depends(_context)]
