"""The app: its parts, its routes, its start and its end."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.constants import REF_TEMPLATE
from pydantic import TypeAdapter

from pipelines.core.events import Event
from pipelines.core.settings import Settings
from services import gauges
from services.api import admission, docs, job_schemas, problems
from services.api.auth import Authentication
from services.api.context import Context
from services.api.gatekeeper import Gatekeeper
from services.api.limits import BodyLimit, Slots
from services.api.middleware import RequestScope
from services.api.routes import answers, ask, documents, health, jobs, keys, search
from services.api.schemas import NewTexts
from services.loop import EventLoop
from services.runtime import Runtime
from services.work import Nudge
from services.worker.embedded import EmbeddedWorker

_NAMED: dict[str, Any] = {
    "Event": Event,
    "BatchQuestion": job_schemas.BatchQuestion,
    "BatchQuestions": job_schemas.BatchQuestions,
    "BatchResult": job_schemas.BatchResult,
    "BatchResultEvent": job_schemas.BatchResultEvent,
    "JobEvent": job_schemas.JobEvent,
    "JobProgress": job_schemas.JobProgress,
    "NewTexts": NewTexts,
    "ProblemDetails": problems.ProblemDetails,
}


def create_app(settings: Settings, runtime: Runtime | None = None) -> FastAPI:
    """Builds the app. Its start loads the models and opens the index; its end closes the runtime.

    Args:
        runtime: Built already, from the same settings. The app closes it, in the event loop that its models used.

    Raises:
        ConfigurationError: see `Runtime`.
    """
    parts = runtime or Runtime(settings, remote_stages=settings.distributed)
    gatekeeper = Gatekeeper(settings, lambda: parts.keys)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        try:
            parts.loop = EventLoop.running()
            await asyncio.to_thread(parts.warm_up)
            async with _workers(parts) as (worker, nudge):
                _watch(parts)
                app.state.context = Context(parts, worker, nudge, Slots(settings.api.max_concurrent_questions))
                yield
        finally:
            await gatekeeper.aclose()
            await parts.aclose()

    app = FastAPI(
        title="Strata",
        version="1",
        lifespan=lifespan,
        description="Answers with citations to check.",
        docs_url=None,
        redoc_url=None,
    )
    limits = {"/v1/documents": settings.api.max_body_bytes, "/v1/answers": settings.batch.max_body_bytes}
    app.add_middleware(BodyLimit, limits=limits, default=settings.api.max_question_bytes)
    app.add_middleware(Authentication, gatekeeper=gatekeeper)
    app.add_middleware(RequestScope, metrics=parts.metrics)  # added last, so it stands outermost
    problems.install(app)
    admission.install(app, parts)
    docs.install(app)
    for part in (ask, answers, search, documents, jobs, keys, health):
        app.include_router(part.router)
    app.openapi = _with_schemas(app.openapi)  # type: ignore[method-assign]  # FastAPI's documented way to extend it
    return app


@asynccontextmanager
async def _workers(parts: Runtime) -> AsyncIterator[tuple[EmbeddedWorker | None, Nudge]]:
    """Whoever does the work behind the API: a worker in this process, or those at the other end of the queue."""
    if parts.settings.distributed:
        await parts.queue.start()  # the runtime closes it
        yield None, parts.queue.nudge
        return
    worker = EmbeddedWorker(parts)
    await asyncio.to_thread(worker.start)
    try:
        yield worker, worker.nudge
    finally:
        await asyncio.to_thread(worker.stop, parts.settings.api.shutdown_s)


def _watch(parts: Runtime) -> None:
    """Adds what only the API's figures show: what waits for workers, in the database and on the broker."""
    parts.metrics.watch(gauges.state(parts.ledger, parts.batch_ledger, parts.fleet))
    if parts.settings.distributed:
        queue = parts.queue
        parts.metrics.watch(
            gauges.queue(
                lambda: queue.reachable,
                lambda: {role: (depth.waiting, depth.oldest_s) for role, depth in queue.depths.items()},
            )
        )


def _with_schemas(openapi: Callable[[], dict[str, Any]]) -> Callable[[], dict[str, Any]]:
    """Adds the schemas that routes refer to by name: events, problems, and the body that is parsed by hand."""

    def extended() -> dict[str, Any]:
        described = openapi()
        schemas = described["components"]["schemas"]
        for name, kind in _NAMED.items():
            schema = TypeAdapter(kind).json_schema(ref_template=REF_TEMPLATE, mode="serialization")
            for inner, definition in schema.pop("$defs", {}).items():
                schemas.setdefault(inner, definition)
            schemas[name] = schema
        problems.add_key_problems(described)
        return described

    return extended
