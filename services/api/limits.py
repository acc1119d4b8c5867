"""What one client may ask of the service: bodies of a bounded size, and so many questions at a time."""

from collections.abc import Mapping

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipelines.core.errors import InvalidRequestError, StrataError


class TooManyQuestionsError(StrataError):
    """As many questions as the settings allow are being answered already."""

    code = "too_many_questions"
    retryable = True


class ServiceAwayError(StrataError):
    """The service is not there yet, or not any more."""

    code = "service_away"
    retryable = True


class UnsupportedMediaTypeError(InvalidRequestError):
    """The body has a media type that this route does not take."""

    code = "media_type_unsupported"


class Slots:
    """Places for questions. Used from one event loop only."""

    def __init__(self, size: int) -> None:
        self._size = size
        self.taken = 0

    def take(self) -> None:
        """Takes a place, to be given back with `free`.

        Raises:
            TooManyQuestionsError: there is none.
        """
        if self.taken >= self._size:
            raise TooManyQuestionsError(f"{self._size} questions are being answered already; try again in a moment.")
        self.taken += 1

    def free(self) -> None:
        """Gives a place back."""
        self.taken -= 1


class BodyLimit:
    """Middleware that ends a request whose body grows too large, whether or not it announced its size.

    Starlette's own answers in plain text; this one goes through the app's error handlers.

    Args:
        limits: Largest body in bytes, by path.
        default: For all other paths.
    """

    def __init__(self, app: ASGIApp, *, limits: Mapping[str, int], default: int) -> None:
        self._app, self._limits, self._default = app, limits, default

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Counts what is received."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = self._limits.get(scope["path"].rstrip("/"), self._default)
        announced = dict(scope["headers"]).get(b"content-length", b"0")
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            if announced.isdigit() and int(announced) > limit:
                raise _too_large(limit)
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > limit:
                raise _too_large(limit)
            return message

        await self._app(scope, counted, send)


def _too_large(limit: int) -> HTTPException:
    # FastAPI turns any other exception that ends the reading of a body into "error parsing the body".
    return HTTPException(413, f"The body is larger than {limit:,} bytes.", headers={"Connection": "close"})
