"""What an exception out of LiteLLM means."""

import httpx

from pipelines.core.models.secrets import Redactor
from pipelines.core.models.values import Failure

_MAX_REASON_CHARS = 240


def classify(error: Exception, *, timeout_s: float, redact: Redactor) -> Failure:
    """Maps any exception of a request to a failure, without credentials."""
    # LiteLLM's exceptions are OpenAI's, with `status_code`; what has none is a fault in reading the answer.
    status = getattr(error, "status_code", None)
    reason = redact(str(getattr(error, "message", "") or error).split("\n", 1)[0])[:_MAX_REASON_CHARS]
    if any(isinstance(link, httpx.ConnectError | httpx.ConnectTimeout) for link in _chain(error)):
        return Failure("unavailable", "no connection to its address", calls=0)
    if status == 408 or isinstance(error, TimeoutError):
        return Failure("unavailable", f"no answer within {timeout_s:g} s", cost_usd=None)
    if status is None:
        return Failure("output", f"the answer is no completion ({type(error).__name__}: {reason})", cost_usd=None)
    if status in (401, 403):
        return Failure("rejected", f"the provider refused its key (HTTP {status}), check `api_key`")
    if status == 429:
        return Failure("unavailable", "the provider is limiting the rate (HTTP 429)", _retry_after_s(error))
    return Failure("unavailable" if status >= 500 else "rejected", reason, _retry_after_s(error))


def _chain(error: BaseException | None) -> list[BaseException]:
    links: list[BaseException] = []
    while error is not None and error not in links:
        links.append(error)
        error = error.__cause__ or error.__context__
    return links


def _retry_after_s(error: Exception) -> float | None:
    for holder in (error, getattr(error, "response", None)):
        for name in ("litellm_response_headers", "headers"):
            value = (getattr(holder, name, None) or {}).get("retry-after")
            if value is not None:
                return _seconds(value)
    return None


def _seconds(value: str) -> float | None:
    try:
        return max(0.0, float(value))
    except ValueError:  # a date, which no provider of models is known to send
        return None
