"""The app: its parts, its routes, its start and its end."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.constants import REF_TEMPLATE
from pydantic import TypeAdapter

from pipelines.core.events import Event
from pipelines.core.settings import Settings
from services.api import admission, docs, job_schemas, problems
from services.api.auth import Authentication
from services.api.gatekeeper import Gatekeeper
from services.api.life import Life
from services.api.limits import BodyLimit
from services.api.middleware import RequestScope
from services.api.routes import answers, ask, documents, heads, health, jobs, keys, search, sources
from services.api.schemas import NewTexts
from services.api.threads import bound_threads
from services.loop import EventLoop
from services.runtime import Runtime

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


def create_app(
    settings: Settings, runtime: Runtime | None = None, prepare: Callable[[], None] = lambda: None
) -> FastAPI:
    """Builds the app. It starts at once and loads its parts in the background; its end closes the runtime.

    Args:
        runtime: Built already, from the same settings. The app closes it, in the event loop that its models used.
        prepare: See `Life`, which is `app.state.life`.

    Raises:
        ConfigurationError: see `Runtime`.
    """
    parts = runtime or Runtime(settings, remote_stages=settings.distributed)
    gatekeeper = Gatekeeper(settings, lambda: parts.keys)
    life = Life(parts, prepare)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        try:
            parts.loop = EventLoop.running()
            bound_threads()
            life.begin()
            yield
        finally:
            await life.end()
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
    app.add_middleware(RequestScope, life=life, metrics=parts.metrics)  # added last, so it stands outermost
    app.state.life = life
    problems.install(app)
    admission.install(app, parts)
    docs.install(app)
    for part in (ask, answers, search, documents, sources, jobs, keys, heads, health):
        app.include_router(part.router)
    app.openapi = _with_schemas(app.openapi)  # type: ignore[method-assign]  # FastAPI's documented way to extend it
    return app


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
