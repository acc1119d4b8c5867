import subprocess
import sys
from typing import Any

import pytest
from pydantic import BaseModel

from pipelines.core.deadline import Deadline
from pipelines.core.errors import ConfigurationError
from pipelines.core.models import Message, ModelTiers, check, describe
from pipelines.core.models.secrets import redactor
from pipelines.core.models.structured import parse, with_schema
from pipelines.core.models.values import Allowance
from pipelines.core.settings import LitellmParams, ModelCallSettings, ModelEntry, StageModels

SECRET = "sk-very-secret-0123456789"


class Bridge(BaseModel):
    name: str


def entry(name: str, model: str = "openai/m", *, fallbacks: tuple[str, ...] = (), **params: Any) -> ModelEntry:
    given = {"api_base": "http://127.0.0.1:1/v1", **params}
    return ModelEntry(model_name=name, litellm_params=LitellmParams(model=model, **given), fallbacks=fallbacks)


# --- Structured output ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ['{"name": "x"}', '```json\n{"name": "x"}\n```', ' ```\n{"name": "x"}\n```\n'])
def test_parse_reads_json_bare_or_fenced(text: str) -> None:
    assert parse(text, Bridge) == Bridge(name="x")


@pytest.mark.parametrize(
    "text",
    ["", "null", "[]", "{", '{"name": 1}', 'Sure! {"name": "x"}', "{'name': 'x'}", '{"name": "x",}', "[" * 100_000],
)
def test_parse_repairs_nothing(text: str) -> None:
    assert parse(text, Bridge) is None


def test_the_schema_joins_the_system_message() -> None:
    messages = [Message(role="system", content="Be brief."), Message(role="user", content="q")]
    first, second = with_schema(messages, Bridge)
    assert first.content.startswith("Be brief.")
    assert '"name"' in first.content
    assert second == messages[1]


def test_the_schema_becomes_the_system_message_where_there_is_none() -> None:
    first, second = with_schema([Message(role="user", content="q")], Bridge)
    assert (first.role, second.content) == ("system", "q")


# --- Credentials ---------------------------------------------------------------------------------------------------


def test_redactor_hides_configured_environment_and_lookalike_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", "plainword-from-env")
    monkeypatch.setenv("MY_CREDENTIAL", "another-from-env")
    redact = redactor([entry("a", api_key="unusual.form"), entry("b", extra_headers={"x-token": "nested-value"})])
    text = f"unusual.form nested-value plainword-from-env another-from-env {SECRET} https://h/?key=abc&alt=sse"
    assert redact(text) == "*** *** *** *** *** https://h/?key=***&alt=sse"
    assert "unusual" not in repr(redact)


# --- Checks --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entries", "stages", "message"),
    [
        ([entry("small")], {"plan": "smal"}, r"stages\.plan: no model is named `smal`; did you mean `small`\?"),
        (
            [],
            {"default": "gpt"},
            r"stages\.plan \(from stages\.default\): no model is named `gpt`; there are: `encoder`",
        ),
        ([], {"prune": "extractive"}, r"stages\.prune: `extractive` selects sentences"),
        ([entry("x", "extractive/default")], {"cite": "x"}, r"stages\.cite: `x` selects sentences"),
        ([entry("e", "encoder/builtin")], {"synthesize": "e"}, r"stages\.synthesize: `e` is an encoder"),
        ([entry("a"), entry("a")], {}, r"models\[1\]: the name `a` is declared twice"),
        ([entry("encoder")], {}, r"models\[0\]: the name `encoder` is reserved"),
        ([entry("large"), entry("a", fallbacks=("lage",))], {}, r"models\[1\] `a`: the fallback `lage`.*mean `large`"),
        (
            [entry("a", fallbacks=("b",)), entry("b", "encoder/x")],
            {},
            r"models\[0\] `a`: the fallback `b` cannot stand in",
        ),
        ([entry("a", fallbacks=("a",))], {}, r"models\[0\] `a`: .*a → a"),
        (
            [entry("z", fallbacks=("a",)), entry("a", fallbacks=("b",)), entry("b", fallbacks=("a",))],
            {},
            r"models\[1\] `a`: .*circle, a → b → a",
        ),
        (
            [entry("a", api_key="os.environ/STRATA_NO")],
            {"plan": "a"},
            r"models\[0\] `a`, used by stages\.plan.*STRATA_NO",
        ),
        (
            [entry("a", fallbacks=("b",)), entry("b", api_key="os.environ/STRATA_NO")],
            {"plan": "a"},
            r"models\[1\] `b`, used by stages\.plan.*STRATA_NO",
        ),
    ],
)
def test_check_refuses_and_names_the_line(entries: list[ModelEntry], stages: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        check(entries, StageModels(**stages))


@pytest.mark.parametrize(
    ("entries", "stages"),
    [
        ([], {}),
        ([], {"synthesize": "extractive"}),
        ([entry("e", "encoder/builtin"), entry("x", "extractive/default")], {"plan": "e", "synthesize": "x"}),
        ([entry("a", fallbacks=("b",)), entry("b")], {"default": "a"}),
        ([entry("unused", api_key="os.environ/STRATA_NO")], {}),
        ([entry("a", "bedrock/m", api_base=None)], {"plan": "a"}),
    ],
)
def test_check_accepts(entries: list[ModelEntry], stages: dict[str, str]) -> None:
    ModelTiers(entries, ModelCallSettings()).check(StageModels(**stages))


def test_an_empty_variable_is_a_missing_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRATA_EMPTY", "")
    with pytest.raises(ConfigurationError, match="STRATA_EMPTY"):
        check([entry("a", api_key="os.environ/STRATA_EMPTY")], StageModels(plan="a"))


def test_describe_tells_where_requests_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRATA_BASE", "https://user:pw@models.example/v1?key=hidden")
    monkeypatch.delenv("GEMINI_API_KEY", raising=False)
    monkeypatch.delenv("GOOGLE_API_KEY", raising=False)
    statuses = describe(
        [
            entry("here", "encoder/builtin"),
            entry("loop", api_key=SECRET),
            entry("far", api_base="os.environ/STRATA_BASE"),
            entry("llama", "ollama_chat/llama3", api_base=None),
            entry("gem", "gemini/gemini-2.5-flash", api_base=None),
        ]
    )
    assert [(status.address, status.local, status.key) for status in statuses] == [
        ("in process", True, "not needed"),
        ("http://127.0.0.1:1/v1", True, "present"),
        ("https://models.example/v1", False, "not needed"),
        ("http://localhost:11434", True, "not needed"),
        ("gemini, the provider's own", False, "missing"),
    ]
    assert "GEMINI_API_KEY" in statuses[-1].missing
    assert SECRET not in repr(statuses)


# --- Tiers ---------------------------------------------------------------------------------------------------------


async def test_a_tier_that_cannot_be_called_is_refused() -> None:
    tiers = ModelTiers([entry("e", "encoder/builtin")], ModelCallSettings())
    prompt = [Message(role="user", content="q")]
    with pytest.raises(ConfigurationError, match="`e`"):
        await tiers.complete("e", prompt, Bridge, deadline=Deadline.after(1))


def test_the_price_of_a_tier_is_its_own_entry_s() -> None:
    tiers = ModelTiers(
        [
            entry("own", input_cost_per_token=1e-6, output_cost_per_token="3e-6"),
            entry("half", input_cost_per_token=1e-6),
            entry("free", input_cost_per_token=0, output_cost_per_token=0.0),
            entry("listed", "openai/gpt-4o-mini"),
            entry("nobody", "openai/nobody-knows-it"),
            entry("elsewhere", "openai/deepseek-chat"),
        ],
        ModelCallSettings(),
    )
    assert [tiers.price(name) for name in ("own", "half", "free")] == [(1e-6, 3e-6), None, (0.0, 0.0)]
    assert tiers.price("nobody") is None
    assert tiers.price("elsewhere") is None, "a name that another provider has"
    listed = tiers.price("listed")
    assert listed is not None
    assert 0 < listed[0] < listed[1] < 1e-3


@pytest.mark.parametrize(
    ("left", "price", "spent", "pays"),
    [
        (0.0004, (1e-6, 3e-6), 0.0, True),
        (0.00039, (1e-6, 3e-6), 0.0, False),
        (0.0004, (1e-6, 3e-6), 1e-6, False),
        (0.0, (0.0, 0.0), 0.0, True),
        (1e9, None, 0.0, False),
        (1e9, (1e-6, 3e-6), None, False),
    ],
)
def test_an_allowance_pays_for_the_most_that_a_try_may_cost(
    left: float, price: tuple[float, float] | None, spent: float | None, pays: bool
) -> None:
    assert Allowance(left, tokens_in=100, max_tokens_out=100).pays(price, spent) is pays


def test_litellm_is_imported_at_warm_up_and_only_where_an_entry_needs_it() -> None:
    script = """
import sys
from pipelines.core.models import ModelTiers
from pipelines.core.settings import LitellmParams, ModelCallSettings, ModelEntry, StageModels
entry = ModelEntry(model_name="e", litellm_params=LitellmParams(model="encoder/builtin"))
tiers = ModelTiers([entry], ModelCallSettings())
tiers.check(StageModels())
tiers.warm_up()
sys.exit("litellm" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
