"""The REST interface of a Qdrant server as an ASGI app; see `tests.support.qdrant_server`."""

import asyncio
import json
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

import qdrant_edge as edge
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from tests.support import qdrant_wire as wire
from tests.support.qdrant_storage import Catalogue, HttpError
from tests.support.qdrant_wire import Json, WireError

VERSION = "1.17.0"


class Faults:
    """What the next requests get instead of an answer."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._fault: Json = {}

    def set(self, fault: Json) -> bool:
        """The fault of the next `times` requests."""
        wire.take(fault, "status", "times", "headers", "delay_s")
        with self._lock:
            self._fault = fault
        return True

    def next(self) -> Json:
        """The fault of this request; empty for none."""
        with self._lock:
            if self._fault.get("times", 0) < 1:
                return {}
            self._fault = {**self._fault, "times": self._fault["times"] - 1}
            return self._fault


class Repeats:
    """Counts the passages that a client wrote though they were there: it embedded them again, or sent them again."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._lock = threading.Lock()
        self._written = self._again = 0

    def upsert(self, name: str, body: Json) -> Json:
        """Writes points."""
        passages = [each["id"] for each in body["points"] if (each.get("payload") or {}).get("level") == "passage"]
        collection = self._catalogue.get(name)
        with self._lock:
            with collection.using() as shard:
                self._again += len(shard.retrieve(passages, with_payload=False, with_vector=False))
            self._written += len(passages)
            return collection.update([wire.upsert(body)], len(body["points"]))

    def counts(self, _: Json) -> Json:
        """Since the server's start."""
        return {"passages_written": self._written, "passages_written_again": self._again}


Handler = Callable[..., Any]


def routes(catalogue: Catalogue, faults: Faults, pause_s: float) -> list[tuple[str, str, Handler]]:
    """Method, path and handler; a handler takes the path's parts, then the body."""
    get = catalogue.get
    repeats = Repeats(catalogue)
    named = "/collections/{name}"

    def of(alias: str, target: str) -> Json:
        return {"alias_name": alias, "collection_name": target}

    def query(name: str, body: Json) -> list[Json]:
        with get(name).using() as shard:
            groups = shard.query_batch(edge.QueryBatchRequest([wire.query(each) for each in body["searches"]]))
        return [{"points": [wire.scored(each) for each in group]} for group in groups]

    def scroll(name: str, body: Json) -> Json:
        with get(name).using() as shard:
            records, offset = shard.scroll(wire.scroll(body))
        after = None if offset is None else offset if isinstance(offset, int) else str(offset)
        return {"points": [wire.record(each) for each in records], "next_page_offset": after}

    def count(name: str, body: Json) -> Json:
        with get(name).using() as shard:
            return {"count": shard.count(wire.count(body))}

    def batch(name: str, body: Json) -> list[Json]:
        operations = [wire.operation(each) for each in body["operations"]]
        done = get(name).update(operations, pause_s=pause_s)
        return [done] * len(operations)

    return [
        ("PUT", "/faults", faults.set),
        ("GET", "/counts", repeats.counts),
        ("GET", "/aliases", lambda _: {"aliases": [of(*each) for each in catalogue.aliases.items()]}),
        ("POST", "/collections/aliases", lambda body: catalogue.change_aliases(body["actions"])),
        ("GET", "/collections", lambda _: {"collections": [{"name": name} for name in catalogue.collections]}),
        (
            "GET",
            f"{named}/exists",
            lambda name, _: {"exists": catalogue.aliases.get(name, name) in catalogue.collections},
        ),
        ("PUT", named, catalogue.create),
        ("GET", named, lambda name, _: get(name).info()),
        ("DELETE", named, lambda name, _: catalogue.drop(name)),
        ("PUT", f"{named}/index", lambda name, body: catalogue.index(name, body["field_name"], body["field_schema"])),
        ("PUT", f"{named}/points", repeats.upsert),
        ("POST", f"{named}/points/batch", batch),
        ("POST", f"{named}/points/query/batch", query),
        ("POST", f"{named}/points/scroll", scroll),
        ("POST", f"{named}/points/count", count),
        ("POST", f"{named}/points/delete", lambda name, body: get(name).update([wire.delete(body)])),
    ]


def application(catalogue: Catalogue, *, api_key: str | None = None, pause_s: float = 0.0) -> Any:
    """The ASGI app."""
    faults = Faults()

    def failed(status: int, message: str, headers: dict[str, str] | None = None) -> Response:
        return JSONResponse({"status": {"error": message}, "time": 0.0}, status, headers)

    async def answered(request: Request, handler: Handler, body: Any) -> Response:
        began = time.monotonic()
        try:
            result = await run_in_threadpool(handler, *request.path_params.values(), body)
        except HttpError as error:
            return failed(error.status, error.message)
        except (WireError, ValueError, KeyError, TypeError, AttributeError) as error:
            return failed(400, f"Wrong input: {error!r}")
        except Exception as error:  # the engine raises nothing else, whatever is wrong
            return failed(400 if "error: expected" in str(error) or "Not existing" in str(error) else 500, str(error))
        return JSONResponse({"result": result, "status": "ok", "time": time.monotonic() - began})

    def endpoint(handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        async def serve(request: Request) -> Response:
            if api_key is not None and request.headers.get("api-key") != api_key:
                return failed(401, "Must provide an API key or an Authorization bearer token")
            if request.url.path != "/faults" and (fault := faults.next()):
                await asyncio.sleep(fault.get("delay_s", 0.0))
                if "status" in fault:
                    return failed(fault["status"], "as it was told to", fault.get("headers"))
            content = await request.body()
            try:
                body = json.loads(content) if content else {}
            except ValueError as error:
                return failed(400, f"Format error in JSON body: {error}")
            return await answered(request, handler, body)

        return serve

    def says(text: str) -> Callable[[Request], Awaitable[Response]]:
        async def serve(_: Request) -> Response:
            return PlainTextResponse(text)

        return serve

    async def root(_: Request) -> Response:
        return JSONResponse({"title": "qdrant - vector search engine", "version": VERSION, "commit": "stand-in"})

    return Starlette(
        routes=[
            Route("/", root),
            *(Route(f"/{name}z", says(f"{name}z check passed")) for name in ("health", "live", "ready")),
            *(
                Route(path, endpoint(handler), methods=[method])
                for method, path, handler in routes(catalogue, faults, pause_s)
            ),
        ]
    )
