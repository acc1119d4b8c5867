"""The Celery tasks of a worker: thin; what they do is in `turns` and `stages`."""

from collections.abc import Callable, Mapping
from typing import Any

from celery import Celery

from pipelines.core.settings import Role
from services.queue.names import task_name
from services.worker.turns import Turns

RunStage = Callable[[Role, str, str, Mapping[str, object]], None]
"""Runs a stage to its end: role, id of the task, its JSON, the headers of its message."""


def register_turns(app: Celery, role: Role, turns: Turns) -> None:
    """A message of a ledger role asks for a turn."""

    def turn(_: Any) -> None:  # Celery reads its name: a lambda has none
        turns.serve()

    _register(app, role, turn, bind=True)


def register_stage(app: Celery, role: Role, run: RunStage) -> None:
    """A message of a stage is one task."""

    def stage(task: Any, payload: str) -> None:
        run(role, task.request.id, payload, vars(task.request))

    _register(app, role, stage, bind=True)


def _register(app: Celery, role: Role, body: Callable[..., None], *, bind: bool) -> None:
    # Not shared: Celery would give it to every other app of the process as well.
    app.task(name=task_name(role), bind=bind, shared=False)(body)
