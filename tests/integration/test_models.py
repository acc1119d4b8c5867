"""Model tiers over real HTTP against the misbehaving stub."""

import asyncio
import contextlib
import time
import traceback
from collections.abc import AsyncIterator, Callable

import pytest
from pydantic import BaseModel

from pipelines.core.breaker import FAILURES
from pipelines.core.deadline import Deadline
from pipelines.core.errors import (
    CostLimitError,
    DeadlineExceededError,
    ModelError,
    ModelOutputError,
    ModelRejectedError,
    ModelUnavailableError,
)
from pipelines.core.models import Message, ModelCall, ModelTiers, TextStream
from pipelines.core.settings import LitellmParams, ModelCallSettings, ModelEntry
from pipelines.core.types import Usage
from tests.support.model_stub import Behaviour, Cut, Drop, Hang, ModelStub, Raw, Reply, Status, count

pytestmark = pytest.mark.network

PRICE_IN, PRICE_OUT = 1e-6, 3e-6
SECRET = "sk-very-secret-0123456789"
PROMPT = (Message(role="user", content="what is the tallest bridge"),)


class Bridge(BaseModel):
    name: str
    metres: int


GOOD = '{"name": "Millau", "metres": 336}'
BAD = '{"name": "Millau"}'

Build = Callable[..., ModelTiers]


@pytest.fixture
async def build(model_stub: ModelStub) -> AsyncIterator[Build]:
    """Makes warmed-up tiers `small` and `large` on the stub; keyword arguments are parameters of `small`."""
    made: list[ModelTiers] = []

    def make(
        *,
        timeout_s: float = 5.0,
        retries: int = 1,
        fallbacks: tuple[str, ...] = (),
        observe: Callable[[ModelCall], None] = lambda _: None,
        **params: object,
    ) -> ModelTiers:
        priced = {"input_cost_per_token": PRICE_IN, "output_cost_per_token": PRICE_OUT}
        small = {"model": "openai/small", "api_base": model_stub.url, "api_key": SECRET, **priced, **params}
        large = {"model": "openai/large", "api_base": model_stub.url, "api_key": SECRET, **priced}
        entries = (
            ModelEntry(model_name="small", litellm_params=LitellmParams(**small), fallbacks=fallbacks),
            ModelEntry(model_name="large", litellm_params=LitellmParams(**large)),
        )
        tiers = ModelTiers(entries, ModelCallSettings(timeout_s=timeout_s, retries=retries), observe=observe)
        tiers.warm_up()
        made.append(tiers)
        return tiers

    yield make
    for tiers in made:
        await tiers.aclose()


def stream(tiers: ModelTiers, *, deadline_s: float = 10.0) -> TextStream:
    return tiers.stream("small", PROMPT, deadline=Deadline.after(deadline_s), max_tokens=50, temperature=0.0)


async def drain(text: TextStream) -> str:
    return "".join([piece async for piece in text])


def cost(tokens_in: int, tokens_out: int) -> float:
    return tokens_in * PRICE_IN + tokens_out * PRICE_OUT


# --- Structured answers --------------------------------------------------------------------------------------------


async def test_complete_counts_what_the_server_counts(build: Build, model_stub: ModelStub) -> None:
    model_stub.script("small", [Reply(GOOD)])
    done = await build().complete("small", PROMPT, Bridge, deadline=Deadline.after(10))
    assert done.value == Bridge(name="Millau", metres=336)
    assert (done.model, done.fallback) == ("openai/small", "")
    assert (done.usage.calls, done.usage.tokens_in, done.usage.tokens_out) == (
        len(model_stub.calls()),
        model_stub.tokens_in(),
        model_stub.tokens_out(),
    )
    assert done.usage.cost_usd == pytest.approx(cost(model_stub.tokens_in(), model_stub.tokens_out()))
    assert done.usage.model_ms > 0


async def test_a_code_fence_is_tolerated(build: Build, model_stub: ModelStub) -> None:
    model_stub.script("small", [Reply(f"```json\n{GOOD}\n```")])
    done = await build().complete("small", PROMPT, Bridge, deadline=Deadline.after(10))
    assert done.value.metres == 336
    assert done.usage.calls == 1


async def test_schema_is_written_out_where_the_model_cannot_be_bound(build: Build, model_stub: ModelStub) -> None:
    model_stub.script("small", [Reply(GOOD)])
    await build().complete("small", PROMPT, Bridge, deadline=Deadline.after(10))
    (request,) = model_stub.calls()
    assert request.body["response_format"] == {"type": "json_object"}
    assert "metres" in request.messages[0]["content"]


async def test_schema_is_bound_where_the_entry_says_so(model_stub: ModelStub) -> None:
    params = LitellmParams(model="openai/small", api_base=model_stub.url, api_key=SECRET)
    entry = ModelEntry(model_name="s", litellm_params=params, model_info={"supports_response_schema": True})
    tiers = ModelTiers((entry,), ModelCallSettings())
    tiers.warm_up()
    model_stub.script("small", [Reply(GOOD)])
    await tiers.complete("s", PROMPT, Bridge, deadline=Deadline.after(10))
    await tiers.aclose()
    (request,) = model_stub.calls()
    assert request.body["response_format"]["type"] == "json_schema"
    assert [message["content"] for message in request.messages] == [PROMPT[0].content]


async def test_output_of_another_form_is_asked_for_once_more_from_the_same_prompt(
    build: Build, model_stub: ModelStub
) -> None:
    model_stub.script("small", [Reply(BAD), Reply(GOOD)])
    done = await build().complete("small", PROMPT, Bridge, deadline=Deadline.after(10))
    first, second = model_stub.calls()
    assert first.messages == second.messages
    assert done.usage.calls == 2
    assert done.usage.tokens_out == count(BAD) + count(GOOD)


async def test_output_of_another_form_twice_is_an_error_that_knows_its_cost(
    build: Build, model_stub: ModelStub
) -> None:
    model_stub.script("small", [Reply(BAD), Reply("no json at all")])
    with pytest.raises(ModelOutputError, match=r"`small` \(openai/small\).*schema Bridge") as caught:
        await build().complete("small", PROMPT, Bridge, deadline=Deadline.after(10))
    assert caught.value.usage.calls == 2
    assert caught.value.usage.tokens_out == model_stub.tokens_out()


@pytest.mark.parametrize(
    ("behaviour", "requests", "error"),
    [
        (Status(400), 1, ModelRejectedError),
        (Status(401), 1, ModelRejectedError),
        (Status(404), 1, ModelRejectedError),
        (Status(429), 2, ModelUnavailableError),
        (Status(500), 2, ModelUnavailableError),
        (Status(503), 2, ModelUnavailableError),
        (Raw("{broken"), 2, ModelUnavailableError),
        (Raw("null"), 2, ModelUnavailableError),
        (Raw('{"choices": []}'), 1, ModelOutputError),
        (Raw("<html>login</html>", "text/html"), 2, ModelUnavailableError),
        (Reply("", finish_reason="content_filter"), 1, ModelRejectedError),
    ],
    ids=lambda value: repr(value)[:40],
)
async def test_misbehaviour_ends_in_an_error_with_every_call_counted(
    build: Build, model_stub: ModelStub, behaviour: Behaviour, requests: int, error: type[ModelError]
) -> None:
    model_stub.on("small", lambda _: behaviour)
    with pytest.raises(error, match="`small`") as caught:
        await build().complete("small", PROMPT, Bridge, deadline=Deadline.after(10))
    assert len(model_stub.calls()) == requests
    assert caught.value.usage.calls == requests


async def test_a_passing_failure_is_tried_again(build: Build, model_stub: ModelStub) -> None:
    model_stub.script("small", [Status(500), Reply(GOOD)])
    done = await build().complete("small", PROMPT, Bridge, deadline=Deadline.after(10))
    assert done.usage.calls == len(model_stub.calls()) == 2


async def test_retry_after_is_honoured(build: Build, model_stub: ModelStub) -> None:
    model_stub.script("small", [Status(429, headers={"Retry-After": "1"}), Reply(GOOD)])
    tiers, started = build(), time.monotonic()
    await tiers.complete("small", PROMPT, Bridge, deadline=Deadline.after(10))
    assert time.monotonic() - started >= 1


async def test_retry_after_beyond_the_deadline_is_not_waited_for(build: Build, model_stub: ModelStub) -> None:
    model_stub.on("small", lambda _: Status(429, headers={"Retry-After": "60"}))
    tiers, started = build(), time.monotonic()
    with pytest.raises(ModelUnavailableError, match="429"):
        await tiers.complete("small", PROMPT, Bridge, deadline=Deadline.after(30))
    assert time.monotonic() - started < 15
    assert len(model_stub.calls()) == 1


async def test_a_spent_quota_is_left_alone_and_the_fallback_asked(build: Build, model_stub: ModelStub) -> None:
    model_stub.on("small", lambda _: Status(429, headers={"Retry-After": "30"}))
    model_stub.on("large", lambda _: Reply(GOOD))
    tiers, started = build(fallbacks=("large",)), time.monotonic()
    for _ in range(3):
        done = await tiers.complete("small", PROMPT, Bridge, deadline=Deadline.after(60))
        assert done.model == "openai/large"
    assert time.monotonic() - started < 15
    assert len(model_stub.calls("small")) == 1
    assert 10 < tiers.breakers["small"].open_for_s <= 30
    assert tiers.away_for_s("small") == 0  # the fallback is there


async def test_failures_in_a_row_open_the_circuit_and_a_success_closes_it(build: Build, model_stub: ModelStub) -> None:
    model_stub.script("small", [Status(500)] * FAILURES)
    tiers = build(retries=0)
    for _ in range(FAILURES):
        with pytest.raises(ModelUnavailableError):
            await tiers.complete("small", PROMPT, Bridge, deadline=Deadline.after(10))
    with pytest.raises(ModelUnavailableError, match="left alone") as caught:
        await tiers.complete("small", PROMPT, Bridge, deadline=Deadline.after(10))
    assert caught.value.usage == Usage(model_ms=caught.value.usage.model_ms)  # no request was made
    assert len(model_stub.calls()) == FAILURES
    assert tiers.away_for_s("small") <= (caught.value.retry_after_s or 0) <= 1.4
    await asyncio.sleep(tiers.away_for_s("small") + 0.01)
    model_stub.on("small", lambda _: Reply(GOOD))
    await tiers.complete("small", PROMPT, Bridge, deadline=Deadline.after(10))
    assert tiers.away_for_s("small") == 0


async def test_a_probe_that_is_cancelled_lets_the_next_call_through(build: Build, model_stub: ModelStub) -> None:
    tiers = build(retries=0)
    tiers.breakers["small"].failed(retry_after_s=0.0)
    model_stub.script("small", [Hang(), Reply(GOOD)])
    probe = asyncio.create_task(tiers.complete("small", PROMPT, Bridge, deadline=Deadline.after(30)))
    while not model_stub.calls():
        await asyncio.sleep(0.01)
    probe.cancel()
    with pytest.raises(asyncio.CancelledError):
        await probe
    assert (await tiers.complete("small", PROMPT, Bridge, deadline=Deadline.after(10))).value.metres == 336


async def test_refusals_and_impatience_say_nothing_against_a_provider(build: Build, model_stub: ModelStub) -> None:
    tiers = build(retries=0)
    model_stub.on("small", lambda _: Status(400))
    for _ in range(FAILURES + 1):
        with pytest.raises(ModelRejectedError):
            await tiers.complete("small", PROMPT, Bridge, deadline=Deadline.after(10))
    model_stub.on("small", lambda _: Hang())
    for _ in range(FAILURES + 1):
        with pytest.raises(DeadlineExceededError):
            await tiers.complete("small", PROMPT, Bridge, deadline=Deadline.after(0.05))
    assert tiers.away_for_s("small") == 0


async def test_every_request_is_heard_of_once(build: Build, model_stub: ModelStub) -> None:
    heard: list[ModelCall] = []
    tiers = build(retries=1, observe=heard.append)
    model_stub.script("small", [Status(500), Reply(GOOD), Reply(BAD), Reply(GOOD), Hang("two words"), Cut("one")])
    for _ in range(2):
        await tiers.complete("small", PROMPT, Bridge, deadline=Deadline.after(10))
    for reads in (2, 9):  # left half-way, and read to its unclean end
        stream = tiers.stream("small", PROMPT, deadline=Deadline.after(10), max_tokens=50, temperature=0.0)
        with contextlib.suppress(ModelOutputError):
            async with contextlib.aclosing(stream):
                for _ in range(reads):
                    await anext(stream)
    assert [(call.tier, call.outcome) for call in heard] == [
        ("small", outcome) for outcome in ("unavailable", "ok", "output", "ok", "left", "output")
    ]
    assert [call.usage.calls for call in heard] == [1] * 6
    assert heard[4].usage.tokens_out == 2
    assert heard[1].usage.cost_usd == pytest.approx(
        heard[1].usage.tokens_in * PRICE_IN + heard[1].usage.tokens_out * PRICE_OUT
    )


async def test_a_hang_ends_at_the_timeout(build: Build, model_stub: ModelStub) -> None:
    model_stub.on("small", lambda _: Hang())
    with pytest.raises(ModelUnavailableError, match=r"no answer within 0\.3 s") as caught:
        await build(timeout_s=0.3, retries=0).complete("small", PROMPT, Bridge, deadline=Deadline.after(10))
    assert caught.value.usage.calls == 1
    assert caught.value.usage.cost_usd is None  # the provider may bill what nobody read


async def test_a_hang_ends_at_the_deadline(build: Build, model_stub: ModelStub) -> None:
    model_stub.on("small", lambda _: Hang())
    tiers, started = build(), time.monotonic()
    with pytest.raises(DeadlineExceededError) as caught:
        await tiers.complete("small", PROMPT, Bridge, deadline=Deadline.after(0.3))
    assert time.monotonic() - started < 4  # before the timeout of a call
    assert caught.value.usage.calls == 1


async def test_an_expired_deadline_makes_no_request(build: Build, model_stub: ModelStub) -> None:
    with pytest.raises(DeadlineExceededError):
        await build().complete("small", PROMPT, Bridge, deadline=Deadline.after(0))
    assert model_stub.calls() == []


async def test_a_refused_connection_is_no_call(build: Build, model_stub: ModelStub) -> None:
    with pytest.raises(ModelUnavailableError, match="no connection") as caught:
        await build(api_base=model_stub.refusing_url).complete("small", PROMPT, Bridge, deadline=Deadline.after(10))
    assert caught.value.usage.calls == 0
    assert caught.value.usage.cost_usd == 0


# --- Where requests go ---------------------------------------------------------------------------------------------


async def test_what_is_left_pays_for_every_try_or_it_is_not_made(build: Build, model_stub: ModelStub) -> None:
    left = ModelCallSettings().max_output_tokens * PRICE_OUT * 1.2  # a try may cost nearly as much
    wordy = Reply("no JSON " * 200)
    model_stub.script("small", [wordy, Reply(GOOD), Reply(GOOD)])
    with pytest.raises(CostLimitError, match="max_cost_usd") as caught:
        await build().complete("small", PROMPT, Bridge, deadline=Deadline.after(10), cost_left_usd=left)
    assert caught.value.usage is not None
    assert caught.value.usage.calls == len(model_stub.calls()) == 1
    assert caught.value.usage.cost_usd == pytest.approx(cost(model_stub.tokens_in(), 400))
    done = await build().complete("small", PROMPT, Bridge, deadline=Deadline.after(10), cost_left_usd=left)
    assert done.usage.calls == 1


async def test_a_fallback_that_is_too_dear_is_not_called(build: Build, model_stub: ModelStub) -> None:
    tiers = build(fallbacks=("large",), retries=0, input_cost_per_token=0.0, output_cost_per_token=0.0)
    model_stub.script("small", [Status(500), Status(500)])
    with pytest.raises(CostLimitError, match="fallback `large`"):
        await tiers.complete("small", PROMPT, Bridge, deadline=Deadline.after(10), cost_left_usd=1e-6)
    text = tiers.stream(
        "small", PROMPT, deadline=Deadline.after(10), max_tokens=50, temperature=0.0, cost_left_usd=1e-6
    )
    with pytest.raises(CostLimitError, match="fallback `large`"):
        await drain(text)
    assert model_stub.calls("large") == []


async def test_the_declared_fallback_answers(build: Build, model_stub: ModelStub) -> None:
    model_stub.on("small", lambda _: Status(503))
    model_stub.script("large", [Reply(GOOD)])
    done = await build(fallbacks=("large",)).complete("small", PROMPT, Bridge, deadline=Deadline.after(10))
    assert done.model == "openai/large"
    assert done.fallback.startswith("small: ")
    assert done.usage.calls == 3


async def test_nothing_stands_in_undeclared(build: Build, model_stub: ModelStub) -> None:
    model_stub.on("small", lambda _: Status(503))
    with pytest.raises(ModelUnavailableError):
        await build().complete("small", PROMPT, Bridge, deadline=Deadline.after(10))
    assert model_stub.calls("large") == []


PROVIDERS = ["openai", "hosted_vllm", "mistral"]  # LiteLLM reaches them through three different clients


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_redirect_is_not_followed(build: Build, model_stub: ModelStub, provider: str) -> None:
    with ModelStub() as elsewhere:
        location = {"Location": f"{elsewhere.url}/chat/completions"}
        model_stub.on("small", lambda _: Status(307, headers=location))
        with pytest.raises(ModelError):
            await build(model=f"{provider}/small").complete("small", PROMPT, Bridge, deadline=Deadline.after(10))
        assert model_stub.calls()
        assert elsewhere.calls() == []


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_dropped_connection_is_counted_as_often_as_it_was_made(
    build: Build, model_stub: ModelStub, provider: str
) -> None:
    model_stub.on("small", lambda _: Drop())
    tiers = build(model=f"{provider}/small", retries=1)
    with pytest.raises(ModelUnavailableError) as caught:
        await tiers.complete("small", PROMPT, Bridge, deadline=Deadline.after(10))
    assert caught.value.usage.calls == len(model_stub.calls()) == 2


async def test_a_key_of_the_environment_stays_home(
    build: Build, model_stub: ModelStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    model_stub.script("small", [Reply(GOOD)])
    await build(api_key=None).complete("small", PROMPT, Bridge, deadline=Deadline.after(10))
    assert SECRET not in model_stub.calls()[0].headers["authorization"]


@pytest.mark.parametrize("code", [400, 401, 500])
async def test_a_key_echoed_by_the_provider_is_not_repeated(
    build: Build, model_stub: ModelStub, code: int, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    model_stub.on("small", lambda _: Status(code, message=f"wrong key {SECRET} and sk-other-one-9876543210"))
    tiers = build(retries=0)
    with pytest.raises(ModelError) as caught:
        await tiers.complete("small", PROMPT, Bridge, deadline=Deadline.after(10))
    captured = capsys.readouterr()
    shown = "".join(traceback.format_exception(caught.value)) + caplog.text + captured.out + captured.err + repr(tiers)
    assert "sk-" not in shown


# --- Prices --------------------------------------------------------------------------------------------------------


async def test_an_unknown_price_is_none(build: Build, model_stub: ModelStub) -> None:
    model_stub.script("small", [Reply(GOOD)])
    tiers = build(input_cost_per_token=None, output_cost_per_token=None)
    done = await tiers.complete("small", PROMPT, Bridge, deadline=Deadline.after(10))
    assert done.usage.cost_usd is None


async def test_a_price_that_litellm_knows_is_used(build: Build, model_stub: ModelStub) -> None:
    model_stub.script("gpt-4o-mini", [Reply(GOOD)])
    tiers = build(model="openai/gpt-4o-mini", input_cost_per_token=None, output_cost_per_token=None)
    done = await tiers.complete("small", PROMPT, Bridge, deadline=Deadline.after(10))
    assert done.usage.cost_usd == pytest.approx(model_stub.tokens_in() * 0.15e-6 + model_stub.tokens_out() * 0.6e-6)


# --- Streams -------------------------------------------------------------------------------------------------------


async def test_stream_counts_what_the_server_counts(build: Build, model_stub: ModelStub) -> None:
    model_stub.script("small", [Reply("the Millau viaduct")])
    text = stream(build())
    assert [piece async for piece in text] == ["the", " Millau", " viaduct"]
    assert (text.finish_reason, text.truncated, text.estimated) == ("stop", False, False)
    assert text.model == "openai/small"
    assert (text.usage.calls, text.usage.tokens_in, text.usage.tokens_out) == (1, count(PROMPT[0].content), 3)
    assert text.usage.cost_usd == pytest.approx(cost(model_stub.tokens_in(), model_stub.tokens_out()))


async def test_stream_without_figures_is_counted_here(build: Build, model_stub: ModelStub) -> None:
    model_stub.script("small", [Reply("the Millau viaduct", usage=False)])
    text = stream(build())
    await drain(text)
    assert text.estimated
    assert text.usage.tokens_out > 0
    assert text.usage.cost_usd == pytest.approx(cost(text.usage.tokens_in, text.usage.tokens_out))


async def test_stream_at_the_token_limit_says_so(build: Build, model_stub: ModelStub) -> None:
    model_stub.script("small", [Reply("the Millau", finish_reason="length")])
    text = stream(build())
    assert await drain(text) == "the Millau"
    assert text.truncated


@pytest.mark.parametrize("clean", [True, False], ids=["clean end", "dropped connection"])
async def test_stream_cut_short_is_an_error_that_knows_its_cost(
    build: Build, model_stub: ModelStub, clean: bool
) -> None:
    model_stub.script("small", [Cut("the Millau viaduct", clean=clean)])
    text = stream(build())
    assert [await anext(text) for _ in range(3)] == ["the", " Millau", " viaduct"]
    with pytest.raises(ModelOutputError, match="cut short") as caught:
        await anext(text)
    assert caught.value.usage.calls == len(model_stub.calls()) == 1
    assert caught.value.usage.tokens_out > 0


async def test_stream_withheld_by_the_filter_is_an_error(build: Build, model_stub: ModelStub) -> None:
    model_stub.script("small", [Reply("the Millau", finish_reason="content_filter")])
    with pytest.raises(ModelRejectedError, match="content filter"):
        await drain(stream(build()))


@pytest.mark.parametrize(
    "behaviour", [Raw("{broken"), Raw("<html></html>", "text/html"), Cut("", clean=True)], ids=repr
)
async def test_a_stream_that_is_none_is_an_error(build: Build, model_stub: ModelStub, behaviour: Behaviour) -> None:
    model_stub.on("small", lambda _: behaviour)
    with pytest.raises(ModelOutputError):
        await drain(stream(build()))


@pytest.mark.parametrize("behaviour", [Status(500), Status(429), Cut("")], ids=repr)
async def test_stream_is_tried_again_before_its_first_piece(
    build: Build, model_stub: ModelStub, behaviour: Behaviour
) -> None:
    model_stub.script("small", [behaviour, Reply("fine")])
    text = stream(build())
    assert await drain(text) == "fine"
    assert text.usage.calls == len(model_stub.calls()) == 2


async def test_stream_falls_back_before_its_first_piece(build: Build, model_stub: ModelStub) -> None:
    model_stub.on("small", lambda _: Status(503))
    text = stream(build(fallbacks=("large",), retries=0))
    assert await drain(text) == "fine"
    assert (text.model, text.usage.calls) == ("openai/large", 2)
    assert text.fallback


async def test_stream_that_stalls_ends_at_the_idle_timeout(build: Build, model_stub: ModelStub) -> None:
    model_stub.script("small", [Hang("the Millau")])
    with pytest.raises(ModelOutputError, match="cut short") as caught:
        await drain(stream(build(timeout_s=1.0)))
    assert caught.value.usage.calls == 1


async def test_stream_that_drips_ends_at_the_deadline(build: Build, model_stub: ModelStub) -> None:
    model_stub.script("small", [Reply("word " * 100, interval_s=0.1)])
    tiers, started = build(), time.monotonic()
    with pytest.raises(DeadlineExceededError) as caught:
        await drain(stream(tiers, deadline_s=1.5))
    assert time.monotonic() - started < 8  # all of it would take ten
    assert caught.value.usage.tokens_out > 0


async def test_leaving_a_stream_closes_the_connection(build: Build, model_stub: ModelStub) -> None:
    model_stub.script("small", [Reply("word " * 100, interval_s=0.05)])
    text = stream(build())
    async with contextlib.aclosing(text):
        assert await anext(text) == "word"
    assert await asyncio.to_thread(model_stub.calls()[0].gone.wait, 20)
    assert text.usage.calls == 1
    assert 0 < text.usage.tokens_out < 100


async def test_cancelling_a_reader_closes_the_connection(build: Build, model_stub: ModelStub) -> None:
    model_stub.script("small", [Reply("word " * 100, interval_s=0.05)])
    reader = asyncio.create_task(drain(stream(build())))
    while not model_stub.calls() or not model_stub.calls()[0].tokens_out:
        await asyncio.sleep(0.01)
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    assert await asyncio.to_thread(model_stub.calls()[0].gone.wait, 20)


# --- Life ----------------------------------------------------------------------------------------------------------


async def test_many_at_once_do_not_mix(build: Build, model_stub: ModelStub) -> None:
    model_stub.on("small", lambda request: Reply(f'{{"name": "{request.prompt}", "metres": 1}}'))
    tiers = build()
    done = await asyncio.gather(
        *(
            tiers.complete("small", [Message(role="user", content=f"n{n}")], Bridge, deadline=Deadline.after(20))
            for n in range(16)
        )
    )
    assert [completion.value.name for completion in done] == [f"n{n}" for n in range(16)]
    assert all(completion.usage.calls == 1 for completion in done)


async def test_closing_one_leaves_another_working(build: Build, model_stub: ModelStub) -> None:
    model_stub.script("small", [Reply("word " * 5, interval_s=0.05)])
    old, new = build(), build()
    text = stream(new)
    first = await anext(text)
    await old.aclose()
    assert first + await drain(text) == "word word word word word"


def test_one_instance_serves_one_loop_after_another(model_stub: ModelStub) -> None:
    entry = ModelEntry(
        model_name="small", litellm_params=LitellmParams(model="openai/small", api_base=model_stub.url, api_key=SECRET)
    )
    tiers = ModelTiers((entry,), ModelCallSettings())

    async def ask() -> str:
        tiers.warm_up()
        answer = await drain(stream(tiers))
        await tiers.aclose()
        return answer

    assert [asyncio.run(ask()) for _ in range(3)] == ["fine"] * 3
