"""The prune stage."""

import json

import pytest

from pipelines.core.errors import ModelOutputError
from pipelines.core.settings import PruneSettings
from pipelines.core.tasks import PruneTask
from pipelines.core.text import estimate_tokens
from pipelines.core.types import Evidence, Hit, Usage
from pipelines.prune import EncoderPruner, ModelPruner
from tests.support.evidence import hits, passage
from tests.support.hash_encoder import HashEncoder
from tests.support.scripted_tiers import USAGE, ScriptedTiers

QUESTION = "When was the Millau viaduct opened?"
FOUND = hits(
    passage("The Millau viaduct is a bridge in France.", "It was opened to traffic in December 2004.", document="a"),
    passage("Tunnels are dug through solid rock.", "Some tunnels are very long indeed.", document="b"),
    passage("It was opened to traffic in December 2004.", "Its piers are made of concrete.", document="c"),
)


def task(found: tuple[Hit, ...] = FOUND, *, asked: str = QUESTION, timeout_s: float = 10.0) -> PruneTask:
    return PruneTask(question=QUESTION, asked=asked, hits=found, timeout_s=timeout_s)


def encoder_pruner(encoder: HashEncoder | None = None, **settings: float) -> EncoderPruner:
    return EncoderPruner(encoder or HashEncoder(), PruneSettings(**settings))  # type: ignore[arg-type]


def model_pruner(tiers: ScriptedTiers, **settings: float) -> ModelPruner:
    pruner = encoder_pruner(**settings)
    return ModelPruner(tiers, "small", PruneSettings(**settings), pruner)  # type: ignore[arg-type]


def kept(evidence: Evidence) -> list[str]:
    return [item.passage.quote(item.passage.sentences[index]) for item in evidence.items for index in item.kept]


def tokens(evidence: Evidence) -> int:
    contexts = sum(estimate_tokens(item.passage.context) for item in evidence.items)
    return contexts + sum(estimate_tokens(text) for text in kept(evidence))


async def test_the_sentence_that_answers_is_kept_and_numbered_from_one() -> None:
    evidence = (await encoder_pruner()(task())).evidence
    assert "It was opened to traffic in December 2004." in kept(evidence)
    assert [item.number for item in evidence.items] == list(range(1, len(evidence.items) + 1))
    assert [item.score for item in evidence.items] == sorted((item.score for item in evidence.items), reverse=True)
    assert evidence.retrieved_tokens == sum(
        estimate_tokens(f"{hit.passage.context}{hit.passage.text}") for hit in FOUND
    )


async def test_a_repeated_sentence_is_kept_once() -> None:
    texts = kept((await encoder_pruner()(task())).evidence)
    assert len(texts) == len(set(texts))


async def test_every_retrieved_passage_has_one_fate() -> None:
    evidence = (await encoder_pruner(max_passages=1)(task())).evidence
    assert [fate.passage_id for fate in evidence.fates] == [hit.passage.id for hit in FOUND]
    outcomes = [fate.outcome for fate in evidence.fates]
    assert outcomes.count("evidence") == len(evidence.items) == 1
    assert all(fate.reason for fate in evidence.fates if fate.outcome == "pruned")


@pytest.mark.parametrize("budget", [50, 60, 100, 400])
async def test_the_budget_is_kept(budget: int) -> None:
    found = hits(*(passage(*(f"Fact {n}.{m} about the Millau viaduct opened." for m in range(5)), start=100 + n * 1000)
                   for n in range(10)))  # fmt: skip
    evidence = (await encoder_pruner(budget_tokens=budget)(task(found))).evidence
    assert 0 < tokens(evidence) <= budget
    assert len(evidence.items) < len(found)


async def test_the_evidence_is_never_empty_however_large_the_first_sentence() -> None:
    evidence = (await encoder_pruner(budget_tokens=50)(task(hits(passage("word " * 1000 + "end."))))).evidence
    assert len(evidence.items) == 1


async def test_no_hits_no_evidence() -> None:
    for pruner in (encoder_pruner(), model_pruner(ScriptedTiers())):
        result = await pruner(task(()))
        assert (result.evidence, result.receipt.usage) == (Evidence(), Usage())


async def test_at_most_so_many_passages() -> None:
    found = hits(*(passage(f"The Millau viaduct was opened, fact {n}.", start=n) for n in range(20)))
    for most in (1, 3):
        assert len((await encoder_pruner(max_passages=most)(task(found))).evidence.items) == most


async def test_a_conversation_s_question_is_scored_both_ways_in_one_batch() -> None:
    encoder = HashEncoder()
    await encoder_pruner(encoder)(task(asked="And when?"))
    assert encoder.texts[:2] == [QUESTION, "And when?"]


async def test_after_the_deadline_the_order_of_retrieval_decides() -> None:
    encoder = HashEncoder()
    encoder.delay_s = 0.3
    for pruner, handed in ((encoder_pruner(encoder, timeout_s=0.05), 10.0), (encoder_pruner(encoder), 0.05)):
        result = await pruner(task(timeout_s=handed))
        assert "outlasted" in result.receipt.fallback
        assert [item.passage.document_id for item in result.evidence.items] == ["a", "b", "c"]
        assert result.evidence.sufficient
        assert len(kept(result.evidence)) == 5, "whole passages, what repeats left out"


async def test_a_model_s_choice_is_taken_in_its_order() -> None:
    tiers = ScriptedTiers(
        {"keep": [{"passage": 2, "sentences": [2]}, {"passage": 1, "sentences": [1]}], "answerable": True}
    )
    result = await model_pruner(tiers)(task())
    assert kept(result.evidence) == ["Some tunnels are very long indeed.", "The Millau viaduct is a bridge in France."]
    assert (result.evidence.sufficiency, result.evidence.sufficient) == (1.0, True)
    assert (result.receipt.model, result.receipt.usage, result.receipt.fallback) == ("stub/small", USAGE, "")
    sent = json.loads(tiers.prompts[0][1].content)
    assert sent["passages"][0]["sentences"]["2"] == "It was opened to traffic in December 2004."


async def test_all_that_a_model_chose_is_kept_however_late_it_names_it() -> None:
    found = hits(*(passage(f"Fact {n} about something.", start=n) for n in range(40)))
    keep = [{"passage": n, "sentences": [1]} for n in range(1, 41)]
    result = await model_pruner(ScriptedTiers({"keep": keep, "answerable": True}), max_passages=100)(task(found))
    assert len(result.evidence.items) == 40


async def test_numbers_that_do_not_exist_are_ignored() -> None:
    keep = [
        {"passage": 0, "sentences": [1]},
        {"passage": 99, "sentences": [1]},
        {"passage": -1, "sentences": [1]},
        {"passage": 1, "sentences": [0, -1, 3, 99, 2, 2]},
        {"passage": 1, "sentences": [1]},
        {"passage": 2, "sentences": []},
    ]
    result = await model_pruner(ScriptedTiers({"keep": keep, "answerable": True}))(task())
    assert kept(result.evidence) == [
        "The Millau viaduct is a bridge in France.",  # before the chosen one, which begins with "It"
        "It was opened to traffic in December 2004.",
    ]


async def test_a_model_that_keeps_nothing_real_is_replaced() -> None:
    tiers = ScriptedTiers({"keep": [{"passage": 9, "sentences": [1]}], "answerable": True})
    result = await model_pruner(tiers)(task())
    assert "nothing that exists" in result.receipt.fallback
    assert (result.receipt.tier, result.receipt.model) == ("small", "encoder/hash")
    assert result.receipt.usage.cost_usd == USAGE.cost_usd
    assert result.receipt.usage.calls == 2
    assert result.evidence.items


async def test_a_model_that_says_unanswerable_abstains_but_keeps_something() -> None:
    result = await model_pruner(ScriptedTiers({"keep": [], "answerable": False}))(task())
    assert (result.evidence.sufficient, len(result.evidence.items)) == (False, 1)


async def test_a_model_that_fails_is_replaced_and_its_cost_kept() -> None:
    result = await model_pruner(ScriptedTiers(ModelOutputError("no JSON", USAGE)))(task())
    direct = await encoder_pruner()(task())
    assert result.evidence == direct.evidence
    assert (result.receipt.fallback, result.receipt.usage.cost_usd) == ("no JSON", USAGE.cost_usd)
