"""What a server's answers mean, and how long a call may take."""

import httpx
import pytest
from qdrant_client.http.exceptions import UnexpectedResponse

from pipelines.core.errors import ConfigurationError, IndexUnavailableError, InvalidRequestError, StrataError
from pipelines.core.settings import IndexSettings
from pipelines.core.store.server_calls import CollectionGoneError, ServerCalls, ServerFailedError, of_response


@pytest.fixture
def calls() -> ServerCalls:
    return ServerCalls(IndexSettings(mode="server", url="http://127.0.0.1:1", timeout_s=1))


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, InvalidRequestError),
        (401, ConfigurationError),
        (403, ConfigurationError),
        (404, CollectionGoneError),
        (429, ServerFailedError),
        (500, ServerFailedError),
        (503, ServerFailedError),
        (None, ServerFailedError),
    ],
)
def test_statuses_become_errors_of_ours(status: int | None, error: type[StrataError]) -> None:
    response = UnexpectedResponse(status, "reason", b"{}", httpx.Headers())
    assert type(of_response(response, "passages")) is error


@pytest.mark.parametrize(
    ("header", "after_s"),
    [("3", 3.0), ("0", 0.0), ("-1", 0.0), ("86400", 60.0), ("Wed, 21 Oct 2026 07:28:00 GMT", None)],
)
def test_the_time_that_a_server_asks_for_is_kept_within_bounds(header: str, after_s: float | None) -> None:
    response = UnexpectedResponse(503, "reason", b"{}", httpx.Headers({"retry-after": header}))
    assert of_response(response, "passages").retry_after_s == after_s


@pytest.mark.network
def test_a_server_that_cannot_be_reached_is_tried_three_times_and_then_left_alone(calls: ServerCalls) -> None:
    tries = []

    def call() -> None:
        tries.append(1)
        calls.client.get_aliases()

    with pytest.raises(IndexUnavailableError, match="cannot be reached") as caught:
        calls("passages", call)
    assert caught.value.retryable
    assert len(tries) == 3
    with pytest.raises(IndexUnavailableError):
        calls("passages", call)
    with pytest.raises(IndexUnavailableError, match="left alone") as caught:
        calls("passages", call)
    assert len(tries) == 5
    assert 0 < (caught.value.retry_after_s or 0) < 2
    calls.close()


def test_an_answer_that_is_an_error_of_ours_is_not_tried_again(calls: ServerCalls) -> None:
    tries = []

    def call() -> None:
        tries.append(1)
        raise UnexpectedResponse(404, "reason", b"{}", httpx.Headers())

    for _ in range(9):
        with pytest.raises(CollectionGoneError):
            calls("passages", call)
    assert len(tries) == 9  # and the circuit stays closed
    calls.close()
