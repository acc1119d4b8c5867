"""What queues, tasks and keys are called on the broker."""

from typing import Final

from pipelines.core.settings import Role

STAGE_ROLES: Final[tuple[Role, ...]] = ("plan", "prune", "cite")
LEDGER_ROLES: Final[tuple[Role, ...]] = ("ingest", "answers", "sync")

SENT_AT: Final = "sent_at"
"""Header of every message: seconds since the epoch."""
REPLY_TO: Final = "reply_key"
"""Header of a stage's message: the list that its result is pushed to."""


def task_name(role: Role) -> str:
    """The Celery task of a role."""
    return f"strata.{role}"


def queue_name(prefix: str, role: Role) -> str:
    """The queue of a role, and the Redis list that it is."""
    return f"{prefix}.{role}"


def reply_key(prefix: str, process: str) -> str:
    """The list of results for one process."""
    return f"{prefix}:replies:{process}"


def cancel_key(prefix: str, task_id: str) -> str:
    """Exists once a task is cancelled."""
    return f"{prefix}:cancelled:{task_id}"


def worker_channel(prefix: str, role: Role) -> str:
    """The channel that each worker of a stage listens to: the broker knows at once how many are connected."""
    return f"{prefix}:workers:{role}"


def cancel_channel(prefix: str) -> str:
    """Where ids of cancelled tasks are published."""
    return f"{prefix}:cancelled"
