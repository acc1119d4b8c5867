"""What a request may spend on its large call."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.core.types import Limits
from pipelines.limits import MIN_ANSWER_TOKENS, Purse

PRICE = (1e-6, 3e-6)
FREE = (0.0, 0.0)


def purse(left: float | None = None, *, tokens: int | None = None, price: tuple[float, float] | None = PRICE) -> Purse:
    return Purse(Limits(max_cost_usd=left, max_large_tokens=tokens), left, price)


def test_without_limits_the_answer_has_all_the_room() -> None:
    assert purse(price=None).output_room(10_000, 500) == 500


@pytest.mark.parametrize(
    ("tokens", "prompt", "room"),
    [(1000, 400, 500), (1000, 600, 400), (1000, 936, 64), (1000, 937, 0), (1000, 2000, 0), (0, 0, 0), (100, 75, 25)],
)
def test_prompt_and_answer_share_the_tokens(tokens: int, prompt: int, room: int) -> None:
    assert purse(tokens=tokens).output_room(prompt, 500) == room


@pytest.mark.parametrize(
    ("left", "prompt", "room"),
    [(0.0013, 1000, 100), (1.0, 1000, 500), (0.00119, 1000, 0), (0.0009, 1000, 0), (0.0, 0, 0), (1e308, 1, 500)],
)
def test_money_left_after_the_prompt_buys_the_answer(left: float, prompt: int, room: int) -> None:
    assert purse(left).output_room(prompt, 500) == pytest.approx(room, abs=1)


def test_a_cost_limit_forbids_a_call_of_unknown_price_and_allows_a_free_one() -> None:
    assert purse(100.0, price=None).output_room(10, 500) == 0
    assert purse(0.0, price=FREE).output_room(10_000, 500) == 500


def test_the_tighter_limit_holds() -> None:
    assert purse(1.0, tokens=1000).output_room(800, 500) == 200
    assert purse(0.0013, tokens=10_000).output_room(1000, 500) == pytest.approx(100, abs=1)


def test_a_short_answer_may_be_all_that_is_configured() -> None:
    assert purse(tokens=1000).output_room(990, 10) == 10


@given(
    left=st.floats(0, 1e308),
    tokens=st.none() | st.integers(0, 2**53),
    prompt=st.integers(0, 10**6),
    most=st.integers(1, 10**5),
    price=st.tuples(st.floats(0, 1), st.floats(0, 1)),
)
def test_whatever_is_asked_the_limits_hold(
    left: float, tokens: int | None, prompt: int, most: int, price: tuple[float, float]
) -> None:
    room = purse(left, tokens=tokens, price=price).output_room(prompt, most)
    assert 0 <= room <= most
    if room:
        assert room >= min(most, MIN_ANSWER_TOKENS) or tokens is not None
        assert prompt * price[0] + room * price[1] <= left * (1 + 1e-9)
        assert tokens is None or prompt + room <= tokens


def test_the_names_of_the_limits_that_were_set() -> None:
    assert purse(1.0, tokens=5).names == "max_cost_usd and max_large_tokens"
    assert Purse(Limits(deadline_ms=5, max_large_tokens=1), None, None).names == "max_large_tokens"
