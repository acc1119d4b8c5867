"""The Celery app: one task on one queue. A message only says that there is work; the ledger says what it is."""

from collections.abc import Callable

from celery import Celery

from pipelines.core.settings import QueueSettings

INGEST = "strata.ingest"
POLLING_S = 0.01  # kombu's memory transport looks once a second by default, which a person notices


def build_app(settings: QueueSettings, *, queue: str = INGEST) -> Celery:
    """Builds the app. It opens no connection, and is not Celery's global current app.

    Args:
        queue: Its only queue. Queues of `memory://` belong to the process, so two apps in one need two names.
    """
    url = settings.url.get_secret_value()
    in_process = url.startswith("memory:")
    app = Celery("strata", broker="memory://localhost/" if in_process else url, set_as_current=False)
    app.conf.update(
        broker_transport_options={"polling_interval": POLLING_S} if in_process else {},
        broker_connection_retry_on_startup=True,
        task_default_queue=queue,
        task_ignore_result=True,
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        worker_enable_remote_control=False,
        worker_send_task_events=False,
    )
    return app


def register_ingest(app: Celery, work: Callable[[], float | None]) -> None:
    """Registers the task.

    Args:
        work: Works the queue off; returns after how many seconds to look again, or `None` when nothing is left.
    """
    waiting = {"scheduled": False}

    def ingest(*, scheduled: bool = False) -> None:
        if scheduled:
            waiting["scheduled"] = False
        delay_s = work()
        if delay_s is not None and not waiting["scheduled"]:  # one look ahead is enough, however many nudges came
            waiting["scheduled"] = True
            nudge(app, delay_s=delay_s)

    app.task(name=INGEST, shared=False)(ingest)  # Celery would give it to every other app of the process as well


def nudge(app: Celery, *, delay_s: float | None = None) -> None:
    """Says that there is work."""
    app.send_task(INGEST, kwargs={"scheduled": delay_s is not None}, countdown=delay_s)
