"""The plan stage."""

import json

import pytest

from pipelines.core.errors import ModelUnavailableError
from pipelines.core.settings import PlanSettings
from pipelines.core.tasks import PlanTask
from pipelines.core.types import Question, Turn, Usage
from pipelines.plan import ContextPlanner, ModelPlanner, carried_words, leans_on_context, make_plan
from pipelines.resolve import MAX_WORDS
from tests.support.scripted_tiers import USAGE, ScriptedTiers

SETTINGS = PlanSettings(max_queries=3, standalone_weight=3.0, rewrite_weight=0.25)
HISTORY = (Turn(role="user", text="Who built the Millau viaduct?"), Turn(role="assistant", text="Eiffage did."))


def task(text: str, history: tuple[Turn, ...] = (), timeout_s: float = 30.0) -> PlanTask:
    return PlanTask(question=Question(text=text, history=history), timeout_s=timeout_s)


def planner(tiers: ScriptedTiers) -> ModelPlanner:
    return ModelPlanner(tiers, "small", SETTINGS, ContextPlanner(SETTINGS))  # type: ignore[arg-type]


def test_the_question_as_asked_comes_first_and_its_whole_form_weighs_most() -> None:
    plan = make_plan("Who?", "Who was it?", ["a", "who was  it?"], SETTINGS)
    assert [(query.text, query.weight) for query in plan.queries] == [("Who?", 1.0), ("a", 0.25), ("who was it?", 3.0)]
    assert plan.standalone == "Who was it?"


def test_queries_that_say_nothing_new_are_dropped() -> None:
    plan = make_plan("Who was it?", "Who was it?", ["WHO  was it?", "", " \n", "new", "New", "other"], SETTINGS)
    assert [query.text for query in plan.queries] == ["Who was it?", "new", "other"]


@pytest.mark.parametrize("most", [1, 2, 16])
def test_queries_are_capped(most: int) -> None:
    plan = make_plan("q", "q", [f"query {n}" for n in range(30)], PlanSettings(max_queries=most))
    assert len(plan.queries) == most


def test_a_blank_rewrite_is_none() -> None:
    assert make_plan("q", " ", [], SETTINGS).standalone == "q"


@pytest.mark.parametrize(
    ("question", "leans"),
    [
        ("How tall is it?", True),
        ("And in which year was the bridge opened to traffic?", True),
        ("Why?", True),
        ("Who designed the Millau viaduct in France?", False),
        ("What is the summit height of Mont Blanc?", False),
    ],
)
def test_which_questions_lean_on_the_conversation(question: str, leans: bool) -> None:
    assert leans_on_context(question) is leans
    assert bool(carried_words(question, HISTORY)) is leans


def test_words_of_the_last_user_turn_are_carried_once() -> None:
    turns = (Turn(role="user", text="old words"), *HISTORY, Turn(role="assistant", text="assistant words"))
    assert carried_words("Who built it?", turns) == ("millau", "viaduct")
    assert carried_words("Who built it?", (Turn(role="assistant", text="Eiffage."),)) == ()
    assert carried_words("Who built it?", ()) == ()
    long = Turn(role="user", text=" ".join(f"word{n}" for n in range(1000)))
    assert len(carried_words("And it?", (long,))) == MAX_WORDS


async def test_in_process_the_carried_words_are_searched_as_well() -> None:
    result = await ContextPlanner(SETTINGS)(task("How tall is it?", HISTORY))
    assert [query.text for query in result.plan.queries] == ["How tall is it?", "How tall is it? built millau viaduct"]
    assert result.plan.standalone == "How tall is it? built millau viaduct"
    assert (result.receipt.usage, result.receipt.tier) == (Usage(), "encoder")


async def test_a_model_makes_the_question_stand_alone() -> None:
    tiers = ScriptedTiers({"standalone": "How tall is the Millau viaduct?", "queries": ["millau height"]})
    result = await planner(tiers)(task("How tall is it?", HISTORY))
    assert result.plan.standalone == "How tall is the Millau viaduct?"
    assert [query.text for query in result.plan.queries] == [
        "How tall is it?",
        "How tall is the Millau viaduct?",
        "millau height",
    ]
    assert (result.receipt.model, result.receipt.usage, result.receipt.fallback) == ("stub/small", USAGE, "")
    system, user = tiers.prompts[0]
    assert "up to 2" in system.content
    assert json.loads(user.content)["conversation"][0] == {"role": "user", "text": "Who built the Millau viaduct?"}


async def test_without_a_conversation_a_model_may_not_change_the_question() -> None:
    tiers = ScriptedTiers({"standalone": "Something else", "queries": ["x"]})
    plan = (await planner(tiers)(task("Who was it?"))).plan
    assert (plan.standalone, [query.text for query in plan.queries]) == ("Who was it?", ["Who was it?", "x"])


async def test_a_model_that_fails_is_replaced_and_its_cost_kept() -> None:
    result = await planner(ScriptedTiers(ModelUnavailableError("down", USAGE)))(task("How tall is it?", HISTORY))
    assert result.plan == (await ContextPlanner(SETTINGS)(task("How tall is it?", HISTORY))).plan
    assert (result.receipt.tier, result.receipt.model) == ("small", "in-process/context")
    assert (result.receipt.fallback, result.receipt.usage) == ("down", USAGE)


@pytest.mark.parametrize(("left_s", "least", "most"), [(4.0, 1.1, 2.0), (100.0, 5.0, 8.0), (0.0, 0.0, 0.0)])
async def test_a_model_may_take_half_of_the_time_left(left_s: float, least: float, most: float) -> None:
    tiers = ScriptedTiers({"standalone": "q", "queries": []})
    await planner(tiers)(task("Who was it?", timeout_s=left_s))
    assert least <= tiers.calls[0]["deadline"].remaining() <= most
