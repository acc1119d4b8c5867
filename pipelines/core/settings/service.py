"""The REST service, and the queue to its workers."""

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr

from pipelines.core.settings.section import MIB, Bytes, Seconds, Section


class ApiSettings(Section):
    """The REST service."""

    host: str = Field("127.0.0.1", description="Address to bind.")
    port: int = Field(8000, ge=0, le=65535, description="Port to bind; 0 takes a free one.")
    max_body_bytes: Bytes = Field(64 * MIB, description="Largest request body that submits documents.")
    max_question_bytes: Bytes = Field(MIB, description="Largest body of every other request.")
    max_files: int = Field(100, ge=1, description="Most documents in one submission.")
    max_concurrent_questions: int | None = Field(
        None,
        ge=1,
        description="Questions that one API process answers at a time; more are told to come back. Empty means 16, and "
        "256 where workers do the small stages, so that a question mostly waits.",
    )
    keys: Literal["auto", "required"] = Field(
        "auto",
        description="`auto` asks for an API key unless Strata is embedded and bound to loopback; `required`: always.",
    )
    bootstrap_key: SecretStr | None = Field(
        None,
        min_length=32,
        description="A key with every scope for the tenant `default`, to make the first real ones with.",
    )
    rate_per_minute: int | None = Field(
        None, ge=1, description="Requests a minute of one key that has no rate of its own; empty means no bound."
    )
    shutdown_s: Seconds = Field(
        10.0, description="At shutdown, time for running requests, and then for the batch being indexed, to end."
    )


class QueueSettings(Section):
    """The queue that moves work between processes; what is to be done stands in the state database."""

    url: SecretStr = Field(
        SecretStr("memory://"),
        description="Celery broker: `redis://HOST:PORT/DB`, or `memory://`, which stays in this process.",
    )
    prefix: str = Field(
        "strata", pattern=r"^[A-Za-z0-9_-]{1,40}$", description="Begins the name of every queue and key on the broker."
    )
    timeout_s: Seconds = Field(2.0, description="Bound on one call to the broker.")
    max_waiting: int = Field(
        200,
        ge=1,
        description="Tasks that may wait for the workers of a stage; beyond it questions are told to come back.",
    )
    concurrency: int = Field(8, ge=1, le=256, description="Tasks of stages that one worker process runs at a time.")
    poll_s: Seconds = Field(
        5.0, description="How often a worker looks into the state database by itself, whatever the queue told it."
    )
    heartbeat_file: Path | None = Field(
        None, description="A worker touches this file as long as it works; for a liveness probe."
    )
