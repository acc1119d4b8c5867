"""Errors as RFC 9457 problem details. The one table from the error tree to HTTP statuses."""

from collections.abc import Mapping
from http import HTTPStatus
from math import ceil
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from pipelines.core import errors
from pipelines.core.errors import StrataError
from services.api.limits import ServiceAwayError, TooManyQuestionsError, UnsupportedMediaTypeError
from services.api.request_id import request_id

MEDIA_TYPE = "application/problem+json"
SCOPE_KEY = "strata.problem"
RETRY_AFTER_S = 2
MAX_FIELD_ERRORS = 20
MAX_NAME_CHARS = 100

STATUS: dict[type[StrataError], int] = {
    StrataError: 500,
    errors.ConfigurationError: 500,
    errors.InvalidRequestError: 422,
    errors.RequestTooLargeError: 413,
    UnsupportedMediaTypeError: 415,
    TooManyQuestionsError: 429,
    ServiceAwayError: 503,
    errors.NotFoundError: 404,
    errors.ConflictError: 409,
    errors.UnauthenticatedError: 401,
    errors.ForbiddenError: 403,
    errors.RateLimitedError: 429,
    errors.DocumentError: 422,
    errors.DocumentTooLargeError: 413,
    errors.IndexMismatchError: 503,
    errors.IndexUnavailableError: 503,
    errors.OverloadedError: 503,
    errors.QueueUnavailableError: 503,
    errors.StateUnavailableError: 503,
    errors.BlobsUnavailableError: 503,
    errors.ModelError: 502,
    errors.ModelUnavailableError: 503,
    errors.DeadlineExceededError: 504,
}
"""A class that is not listed has the status of its nearest base."""

_CODES = {404: "not_found", 405: "method_not_allowed", 413: "request_too_large", 415: "media_type_unsupported"}
_DESCRIPTIONS = {
    401: "There is no valid API key with the request.",
    403: "The API key does not have the scope that this needs.",
    404: "There is no such thing.",
    409: "The thing is in a state that does not allow this.",
    413: "Larger than a configured limit.",
    415: "The body has a media type that is not taken here.",
    422: "The request is malformed.",
    429: "Too many requests or questions; see `Retry-After`.",
    500: "Something went wrong that is no fault of the request.",
    502: "A model failed.",
    503: "Something that the service stands on is away or full; see `Retry-After`.",
    504: "The deadline passed.",
}


class FieldError(BaseModel):
    """One thing that is wrong with the request."""

    field: str = Field(description="Where, as a dotted path.", examples=["body.limits.deadline_ms"])
    detail: str


class ProblemDetails(BaseModel):
    """An error, as RFC 9457 describes it."""

    type: str = Field(description="URI of the kind of problem.", examples=["urn:strata:problem:not_found"])
    title: str
    status: int
    detail: str
    code: str = Field(description="Stable machine-readable name.", examples=["not_found"])
    retryable: bool = Field(description="Whether the same request may succeed later.")
    request_id: str
    errors: list[FieldError] | None = None


class Problem(JSONResponse):
    """A problem on its way. Leaves its code in the request's scope, for the figures and the trace."""

    media_type = MEDIA_TYPE

    def __init__(self, code: str, content: Any, status: int, headers: Mapping[str, str] | None) -> None:
        super().__init__(content, status, headers)
        self._code = code

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends it."""
        scope[SCOPE_KEY] = self._code
        await super().__call__(scope, receive, send)


def status_of(error: StrataError) -> int:
    """The HTTP status of an error."""
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def problem(
    status: int,
    detail: str,
    *,
    code: str,
    retryable: bool = False,
    headers: Mapping[str, str] | None = None,
    fields: list[FieldError] | None = None,
) -> JSONResponse:
    """A problem as a response, with the id of the running request."""
    details = ProblemDetails(
        type=f"urn:strata:problem:{code}",
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        code=code,
        retryable=retryable,
        request_id=request_id.get(),
        errors=fields,
    )
    content = details.model_dump(mode="json", exclude_none=True)
    return Problem(code, content, status, headers)


def from_error(error: StrataError) -> JSONResponse:
    """The response for one of Strata's own errors. Errors of the operator's making are not explained to clients."""
    status = status_of(error)
    detail = error.detail if status != 500 else "The service is not configured as it needs to be; see its log."
    headers = {}
    if status in {429, 503} and error.retryable:
        wait_s = RETRY_AFTER_S if error.retry_after_s is None else max(1, ceil(error.retry_after_s))
        headers["Retry-After"] = str(wait_s)
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return problem(status, detail, code=error.code, retryable=error.retryable, headers=headers)


def from_validation(found: list[Any]) -> JSONResponse:
    """The response for a request that does not fit its schema. Repeats nothing of what was sent."""
    fields = [
        FieldError(
            field=".".join(str(part)[:MAX_NAME_CHARS] for part in each["loc"]),
            detail=each["msg"].removeprefix("Value error, "),
        )
        for each in found[:MAX_FIELD_ERRORS]
    ]
    detail = f"{fields[0].field}: {fields[0].detail}" if fields else "The request is malformed."
    return problem(422, detail, code=errors.InvalidRequestError.code, fields=fields)


def unexpected() -> JSONResponse:
    """The response for an error that nobody foresaw."""
    return problem(500, "Something went wrong; the log has more under this request id.", code=StrataError.code)


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The problems of a route that takes parameters or a body, for its OpenAPI description."""
    schema = {"$ref": "#/components/schemas/ProblemDetails"}
    return {
        status: {"description": _DESCRIPTIONS[status], "content": {MEDIA_TYPE: {"schema": schema}}}
        for status in sorted({*statuses, 422, 500})
    }


def add_key_problems(described: dict[str, Any]) -> None:
    """Adds what every operation that asks for a key may answer to an OpenAPI description."""
    known = {str(status): response for status, response in responses(401, 403, 429, 503).items() if status != 422}
    for operation in (each for methods in described["paths"].values() for each in methods.values()):
        if operation.get("security"):
            operation["responses"] = dict(sorted({**known, **operation["responses"]}.items()))


def install(app: FastAPI) -> None:
    """Makes every error of the app a problem."""

    async def strata_error(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, StrataError)
        return from_error(error)

    async def validation_error(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        return from_validation(list(error.errors()))

    async def http_error(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        status = 422 if error.status_code == 400 else error.status_code  # a body that is malformed is always 422
        code = _CODES.get(status, errors.InvalidRequestError.code)
        return problem(status, str(error.detail), code=code, headers=error.headers)

    app.add_exception_handler(StrataError, strata_error)
    app.add_exception_handler(RequestValidationError, validation_error)
    app.add_exception_handler(HTTPException, http_error)
