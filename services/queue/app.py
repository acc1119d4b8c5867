"""The Celery app, the same for who sends and who works. A message is taken off the queue before it is worked on."""

from collections.abc import Iterable
from typing import Any

from celery import Celery

from pipelines.core.settings import ROLES, QueueSettings, Role
from services.queue.names import queue_name

POLLING_S = 0.01  # kombu's memory transport looks once a second by default, which a person notices
SENDERS = 4
"""Connections that send, and threads that use them."""


def build_app(settings: QueueSettings, *, roles: Iterable[Role] = ROLES, prefix: str | None = None) -> Celery:
    """Builds the app. It opens no connection, and is not Celery's global current app.

    Args:
        roles: Whose queues it knows.
        prefix: Instead of the settings' own. Queues of `memory://` belong to the process, so two apps in one need two.
    """
    url = settings.url.get_secret_value()
    in_process = url.startswith("memory:")
    app = Celery("strata", broker="memory://localhost/" if in_process else url, set_as_current=False)
    names = [queue_name(prefix or settings.prefix, role) for role in roles]
    app.conf.update(
        broker_transport_options={"polling_interval": POLLING_S} if in_process else _redis_options(settings),
        broker_connection_timeout=settings.timeout_s,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_pool_limit=SENDERS,
        task_queues={name: {"exchange": prefix or settings.prefix, "routing_key": name} for name in names},
        task_default_queue=names[0],
        task_create_missing_queues=False,
        task_ignore_result=True,
        # One try more, on a new connection: the old one may be of a broker that has been restarted since.
        task_publish_retry_policy={"max_retries": 1, "interval_start": 0, "interval_step": 0, "interval_max": 0},
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=not in_process,  # what a busy worker holds, an idle one cannot take
        worker_enable_prefetch_count_reduction=False,
        worker_cancel_long_running_tasks_on_connection_loss=True,  # concerns late acknowledgement, which nobody uses
        worker_hijack_root_logger=False,
        worker_enable_remote_control=False,
        worker_send_task_events=False,
    )
    return app


def _redis_options(settings: QueueSettings) -> dict[str, Any]:
    """Every wait is bounded. Nothing is acknowledged: redelivery would come after the question's deadline."""
    return {
        "socket_timeout": settings.timeout_s,
        "socket_connect_timeout": settings.timeout_s,
        "socket_keepalive": True,
        "health_check_interval": 5,
        "max_connections": None,
        "ack_emulation": False,
        "priority_steps": [0],
    }
