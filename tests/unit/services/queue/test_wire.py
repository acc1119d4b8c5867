import pickle

import pytest

from pipelines.core import errors
from pipelines.core.errors import CostLimitError, ModelError, StrataError
from pipelines.core.tasks import PlanResult
from pipelines.core.types import Plan, SearchQuery, StageReceipt, Usage
from services.queue.wire import pack, task_id_of, unpack

RESULT = PlanResult(
    plan=Plan(standalone="Wie hoch? 橋\n", queries=(SearchQuery(text="a b"),)),
    receipt=StageReceipt(stage="plan", tier="small", model="openai/small", usage=Usage(calls=1, cost_usd=None)),
)
CLASSES = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, StrataError)]


def sent(error: StrataError) -> StrataError:
    with pytest.raises(StrataError) as caught:
        unpack(pack("id", error), PlanResult)
    return caught.value


def test_a_result_comes_back_as_it_was() -> None:
    message = pack("some-id", RESULT)
    assert task_id_of(message) == "some-id"
    assert unpack(message, PlanResult) == RESULT


@pytest.mark.parametrize("kind", CLASSES)
def test_every_error_of_the_tree_comes_back_as_itself(kind: type[StrataError]) -> None:
    error = kind.__new__(kind)
    StrataError.__init__(error, "why", retry_after_s=3.5)
    if isinstance(error, ModelError):
        error.usage = None
    found = sent(error)
    assert type(found) is kind
    assert (found.detail, found.retry_after_s, found.code, str(found)) == ("why", 3.5, kind.code, "why")


def test_what_a_failed_call_cost_comes_back_with_its_error() -> None:
    usage = Usage(calls=2, tokens_in=30, tokens_out=4, cost_usd=0.02)
    found = sent(CostLimitError("too dear", usage))
    assert isinstance(found, CostLimitError)
    assert found.usage == usage


def test_an_error_of_a_newer_version_is_still_an_error() -> None:
    found = sent(type("NewError", (StrataError,), {"code": "of_tomorrow"})("why"))
    assert found.detail == "why"
    message = b'id error {"code": "unheard_of", "detail": "why"}'
    with pytest.raises(StrataError, match="why"):
        unpack(message, PlanResult)


@pytest.mark.parametrize(
    "message",
    [b"", b"id", b"id result", b"id result {}", b"id result {", b"id other {}", b"id error {}", b"\xff \xff \xff",
     b"id result " + pickle.dumps("x")],
)  # fmt: skip
def test_what_cannot_be_read_is_said_to_be_so(message: bytes) -> None:
    task_id_of(message)
    with pytest.raises(ValueError):  # noqa: PT011  # pydantic's own is one as well
        unpack(message, PlanResult)
