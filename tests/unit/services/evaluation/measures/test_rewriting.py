import pytest

from services.evaluation.measures.rewriting import (
    F1,
    FOUND,
    HISTORY,
    LAST_TWO,
    MODEL,
    RAW,
    ROUGE,
    STAGE,
    _never_worse,
    measure_rewriting,
    measure_rewritten_retrieval,
)
from services.evaluation.result import ScoredItem
from tests.unit.services.evaluation.conftest import MakeContext

TURNS = ["Tell me about bread.", "What do guinea pigs like?"]


async def test_rewrites_are_compared_with_a_persons(make_context: MakeContext) -> None:
    leans = {
        "id": "leans",
        "question": "Do they eat hay?",
        "rewrite": "Do guinea pigs eat hay?",
        "auto_rewrite": "Do guinea pigs eat hay?",
        "history": [{"speaker": "user", "text": text} for text in TURNS]
        + [{"speaker": "system", "text": "Cheese and wine."}],
        "needs_rewrite": True,
    }
    alone = {
        "id": "alone",
        "question": "What is hay?",
        "rewrite": "What is hay?",
        "history": [],
        "needs_rewrite": False,
    }
    result = await measure_rewriting(make_context("cast_rewrite", {"dev/rewrite": [leans, alone]}))
    leaning = "leans on earlier turns"
    assert result.figure(MODEL, F1, leaning).value == 1
    assert result.figure(RAW, FOUND, leaning).value == 0
    assert result.figure(LAST_TWO, FOUND, leaning).value == 1
    # `Tell me about bread` adds a term, `like` none: three added, two of them missing
    assert result.figure(HISTORY, F1, leaning).value == pytest.approx(2 * 2 / (3 + 2))
    assert result.figure(RAW, ROUGE, leaning).value == pytest.approx(2 * 3 / (4 + 5))
    assert result.figure(RAW, ROUGE, "stands alone").value == 1
    assert result.figure(STAGE, F1, leaning).n == 1


async def test_retrieval_by_rewrites(make_context: MakeContext) -> None:
    texts = {
        "pigs": "Guinea pigs eat hay and grass.",
        "bread": "Bread is baked from flour, water and hay-like straw.",
        "cows": "Cows give milk and chew hay.",
        "tax": "A tax return is due in spring.",
        "moon": "The moon goes round the earth.",
        "fox": "A fox is a wild animal.",
        "hay": "They eat, do they? Do they eat hay? They do.",
    }
    corpus = [{"id": each, "title": "", "text": text, "meta": {"domain": "d"}} for each, text in texts.items()]
    query = {
        "id": "q",
        "question": "Do they eat grass?",
        "history": ["What do guinea pigs like?"],
        "rewrite": "Do guinea pigs eat grass?",
        "gold": [{"doc_id": "pigs"}],
        "domain": "d",
    }
    context = make_context("mtrag", {"shared/corpus": corpus, "dev/queries": [query]})
    context.index.ensure(context.begin)
    result = await measure_rewritten_retrieval(context)
    for fusion in ("dense", "hybrid"):
        assert result.figure(MODEL, f"nDCG@5 {fusion}").value == 1
        assert result.figure(STAGE, f"R@5 {fusion}").value == 1
    queries = {item.system: item.detail["queries"] for item in result.items}
    assert queries[LAST_TWO] == ["What do guinea pigs like? Do they eat grass?"]
    assert queries[STAGE][0] == "Do they eat grass?"
    assert "nowhere worse" in result.notes[0]


def test_a_loss_in_one_group_is_told_though_all_together_gain() -> None:
    def item(number: int, group: str, system: str, value: float) -> ScoredItem:
        return ScoredItem(id=str(number), system=system, group=group, scores={"m": value})

    scored = [item(1, "a", RAW, 0.0), item(1, "a", STAGE, 1.0), item(2, "b", RAW, 0.5), item(2, "b", STAGE, 0.4)]
    assert "in a group worse than" in _never_worse(scored, "m", 1)
    assert "b -0.100" in _never_worse(scored, "m", 1)
    assert "all +0.450" in _never_worse(scored, "m", 1)
