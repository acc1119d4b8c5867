"""What every route needs, built once an app."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from pipelines.core.settings import Settings
from services.api.limits import Slots
from services.api.metrics import Metrics
from services.runtime import Runtime
from services.worker.embedded import EmbeddedWorker


@dataclass(frozen=True, slots=True)
class Context:
    """The parts of the app."""

    runtime: Runtime
    worker: EmbeddedWorker
    metrics: Metrics
    slots: Slots

    @property
    def settings(self) -> Settings:
        """The runtime's settings."""
        return self.runtime.settings


def _context(request: Request) -> Context:
    context: Context = request.app.state.context
    return context


Ctx = Annotated[Context, Depends(_context)]
