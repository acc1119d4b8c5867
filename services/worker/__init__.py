"""Worker processes: the small stages as Celery tasks, and what stands in the state database."""

from services.worker.process import run

__all__ = ["run"]
