"""What a process tells of itself, and the records that models are trained with."""

from typing import Literal

from pydantic import Field

from pipelines.core.settings.section import Section


class TelemetrySettings(Section):
    """Traces, metrics and logs."""

    otlp_endpoint: str | None = Field(
        None, description="OpenTelemetry collector (OTLP over HTTP), such as `http://collector:4318`; empty: no traces."
    )
    trace_share: float = Field(1.0, ge=0, le=1, description="Share of questions that are traced.")
    metrics_port: int | None = Field(
        None,
        ge=0,
        le=65535,
        description="Serves Prometheus metrics without a key on this port, in the API and in every worker; 0 takes a "
        "free one.",
    )
    metrics_host: str = Field("127.0.0.1", description="Address that `metrics_port` is bound to.")
    log_format: Literal["text", "json"] = Field("text", description="`json`: one object a line.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Least severe level logged.")
    log_content: bool = Field(False, description="Also log the text of questions and answers. Off, no log holds any.")


class TraceSettings(Section):
    """What the small stages are given and give back, kept to train and compare models with. Off unless consented to."""

    consent: bool = Field(
        False, description="Record the inputs and outputs of the small stages: they hold questions and passages."
    )
    share: float = Field(1.0, ge=0, le=1, description="Share of questions that are recorded.")
    keep_days: float = Field(30.0, gt=0, description="Days after which a record is removed.")
