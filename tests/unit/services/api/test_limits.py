from collections.abc import Sequence

import pytest
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive, Scope, Send

from services.api.limits import BodyLimit, Slots, TooManyQuestionsError


async def read(pieces: Sequence[bytes], headers: dict[str, str], path: str = "/small") -> bytes:
    """What an app behind the limit receives of a body."""
    body = bytearray()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        more = True
        while more:
            message = await receive()
            body.extend(message["body"])
            more = message["more_body"]

    messages = iter(
        [{"type": "http.request", "body": piece, "more_body": at < len(pieces)} for at, piece in enumerate(pieces, 1)]
    )

    async def receive() -> Message:
        return next(messages)

    async def send(_: Message) -> None:
        raise AssertionError("nothing is sent")

    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    limit = BodyLimit(app, limits={"/large": 100}, default=10)
    await limit({"type": "http", "path": path, "headers": raw}, receive, send)
    return bytes(body)


async def test_a_body_up_to_the_limit_passes_in_any_pieces() -> None:
    assert await read([b"x" * 10], {"content-length": "10"}) == b"x" * 10
    assert await read([b"xxxxx", b"", b"xxxxx"], {}) == b"x" * 10
    assert await read([b"x" * 100], {}, path="/large/") == b"x" * 100


@pytest.mark.parametrize(
    ("pieces", "headers"),
    [
        ([b"x" * 11], {}),
        ([b"xxxxxx", b"xxxxx"], {}),
        ([], {"content-length": "11"}),
        ([b"x" * 11], {"content-length": "5"}),
        ([b"x" * 11], {"content-length": "-1"}),
        ([b"x" * 11], {"content-length": "many"}),
    ],
)
async def test_a_larger_one_is_refused_whatever_it_announced(pieces: list[bytes], headers: dict[str, str]) -> None:
    with pytest.raises(HTTPException) as error:
        await read(pieces, headers)
    assert error.value.status_code == 413


def test_places_run_out_and_come_back() -> None:
    slots = Slots(2)
    slots.take()
    slots.take()
    with pytest.raises(TooManyQuestionsError):
        slots.take()
    slots.free()
    slots.take()
    assert slots.taken == 2
