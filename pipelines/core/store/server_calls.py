"""How a Qdrant server is called: bounded in time, again where that may help, and not at all while it keeps failing.

Every call that the store makes may be repeated: points are only inserted, changes set what they set and delete what is
older, aliases and collections are named.
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

import httpx
from qdrant_client import QdrantClient
from qdrant_client.common.client_exceptions import QdrantException
from qdrant_client.http.exceptions import ApiException, UnexpectedResponse
from tenacity import RetryCallState, Retrying, retry_if_exception_type, wait_random_exponential

from pipelines.core.breaker import Breaker
from pipelines.core.errors import ConfigurationError, IndexUnavailableError, InvalidRequestError, StrataError
from pipelines.core.settings import IndexSettings

T = TypeVar("T")

TRIES = 3
FIRST_WAIT_S = 0.1
LONGEST_RETRY_AFTER_S = 60.0
"""A server that asks for more is asked again nevertheless."""
CONNECTIONS = 64
"""Most at a time from one process, above the threads that search and ingest in it; kept open between calls."""

_ends_at: ContextVar[float | None] = ContextVar("qdrant_call_ends_at", default=None)


class ServerFailedError(IndexUnavailableError):
    """The server could not be reached, was overloaded, or failed on its side."""


class CollectionGoneError(IndexUnavailableError):
    """The collection is not there: another process swapped in a new one and dropped it, or the server lost it."""


class ServerCalls:
    """Calls one server. Safe to share between threads; opens no connection before the first call.

    Args:
        settings: The index section. `timeout_s` bounds a call with all its tries; only a server that sends its answer
            in ever smaller pieces may take longer.
    """

    def __init__(self, settings: IndexSettings) -> None:
        self._timeout_s = settings.timeout_s
        self.breaker = Breaker("Qdrant server", IndexUnavailableError)
        # as a header, because qdrant-client warns of a key without TLS, which is usual inside a cluster
        headers = {"api-key": settings.api_key.get_secret_value()} if settings.api_key else None
        self.client = QdrantClient(
            url=settings.url,
            headers=headers,
            timeout=math.ceil(settings.timeout_s),
            check_compatibility=False,
            limits=httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS),
        )
        self.client.http.client.add_middleware(self._bounded)

    def close(self) -> None:
        """Closes the connections. Idempotent."""
        self.client.close()

    def __call__(self, collection: str, call: Callable[[], T]) -> T:
        """The result of a call, which is tried again when the server fails.

        Args:
            collection: Named in errors.

        Raises:
            CollectionGoneError: the collection is not there.
            IndexUnavailableError: the server failed in every try, or failed lately and is left alone for a while.
            ConfigurationError: it refused the key.
            InvalidRequestError: it refused the request.
        """
        ends_at = time.monotonic() + self._timeout_s
        tries = Retrying(
            retry=retry_if_exception_type(ServerFailedError),
            stop=lambda state: state.attempt_number >= TRIES or time.monotonic() + state.upcoming_sleep >= ends_at,
            wait=_wait,
            reraise=True,
        )
        token = _ends_at.set(ends_at)
        try:
            result: T = tries(self._once, collection, call)
            return result
        finally:
            _ends_at.reset(token)

    def _once(self, collection: str, call: Callable[[], T]) -> T:
        with self.breaker.calling(ServerFailedError), _translated(collection):
            return call()

    def _bounded(self, request: httpx.Request, send: Callable[[httpx.Request], httpx.Response]) -> httpx.Response:
        """Gives each try what the call has left; connecting gets a share, so that one lost packet is not the end."""
        ends_at = _ends_at.get()
        if ends_at is not None:
            left_s = max(ends_at - time.monotonic(), 0.01)
            bounds = dict.fromkeys(("read", "write", "pool"), left_s)
            request.extensions["timeout"] = {**bounds, "connect": min(left_s, self._timeout_s / TRIES)}
        return send(request)


@contextmanager
def _translated(collection: str) -> Iterator[None]:
    """Turns the client's exceptions into ours."""
    try:
        yield
    except UnexpectedResponse as error:
        raise of_response(error, collection) from error
    except QdrantException as error:  # status 429 with a time
        raise _failed("is overloaded", getattr(error, "retry_after_s", None)) from error
    except ApiException as error:
        raise _failed(f"cannot be reached: {error}") from error


def of_response(error: UnexpectedResponse, collection: str) -> StrataError:
    """What an answer that is no result means."""
    status = error.status_code or 500
    if status == 404:
        return CollectionGoneError(f"collection {collection!r} is gone")
    if status in (401, 403):
        return ConfigurationError("the Qdrant server refused the key: check index.api_key")
    if status == 429 or status >= 500:
        return _failed(f"failed with status {status}", error.headers.get("retry-after"))
    return InvalidRequestError(f"the Qdrant server refused a request on {collection!r}: {error}")


def _failed(how: str, retry_after: Any = None) -> ServerFailedError:
    try:
        after_s = None if retry_after is None else min(max(float(retry_after), 0.0), LONGEST_RETRY_AFTER_S)
    except ValueError:  # a date
        after_s = None
    return ServerFailedError(f"the Qdrant server {how}", retry_after_s=after_s)


_jittered = wait_random_exponential(multiplier=FIRST_WAIT_S, max=2.0)


def _wait(state: RetryCallState) -> float:
    """Jittered, and not before the server wants to be asked again."""
    error = state.outcome.exception() if state.outcome else None
    asked_s = error.retry_after_s if isinstance(error, StrataError) else None
    return (asked_s or 0.0) + float(_jittered(state))
