from services.evaluation.measures.abstention import (
    AURC,
    AUROC,
    BASELINES,
    RETRIEVAL,
    RIGHTLY,
    STAGE,
    WRONGLY,
    measure_abstention,
)
from tests.unit.services.evaluation.conftest import MakeContext

CORPUS = [
    {"id": "tower", "title": "Eiffel Tower", "text": "The Eiffel Tower was completed in 1889."},
    {"id": "bread", "title": "Bread", "text": "Cooks in many lands bake bread from flour and water."},
]
QUERIES = [
    {
        "id": "answered",
        "question": "When was the Eiffel Tower completed?",
        "gold": [{"doc_id": "tower", "sent_ids": [0]}],
        "passage": "tower",
        "type": "answerable",
    },
    {
        "id": "open",
        "question": "How many moons does the planet Saturn have?",
        "gold": [],
        "passage": "bread",
        "type": "unanswerable",
    },
]


async def test_a_question_without_an_answer_is_abstained_from(make_context: MakeContext) -> None:
    result = await measure_abstention(make_context("clapnq", {"shared/corpus": CORPUS, "dev/queries": QUERIES}))
    for system in (BASELINES[1], STAGE):
        assert result.figure(system, AUROC).value == 1
        assert result.figure(system, AURC).value == 0.25  # no risk at half coverage, one half at full
    assert result.figure(STAGE, RIGHTLY).value == 1
    assert result.figure(STAGE, WRONGLY).value == 0
    assert result.notes[0].endswith("a gold passage was among those found 1 times, 1 times none.")
    [curve] = [series for series in result.plots[0].series if series.name == STAGE]
    assert (curve.x, curve.y) == ((0.5, 1.0), (0.0, 0.5))


async def test_each_question_is_asked_with_its_gold_passage_and_without(make_context: MakeContext) -> None:
    asked = [{"id": "q", "question": QUERIES[0]["question"], "gold": [{"doc_id": "tower"}], "answers": ["1889"]}]
    context = make_context("nq_gold", {"shared/corpus": CORPUS, "dev/queries": asked})
    context.index.ensure(context.begin)
    result = await measure_abstention(context)
    assert [(item.id, item.detail["answerable"]) for item in result.items] == [
        ("q present", True),
        ("q removed", False),
    ]
    assert result.figure(STAGE, AUROC).value == 1
    assert result.figure(STAGE, AURC).n == 1  # both items of a question are drawn together
    confidence = [item.detail["confidence"] for item in result.items]
    assert all(confidence[0][system] > confidence[1][system] for system in (BASELINES[1], BASELINES[2], STAGE))


async def test_without_the_gold_passage_the_next_one_ranks_as_in_an_index_that_never_had_it(
    make_context: MakeContext,
) -> None:
    asked = [{"id": "q", "question": QUERIES[0]["question"], "gold": [{"doc_id": "tower"}], "answers": ["1889"]}]
    confidence: dict[int, dict[str, float]] = {}
    for documents in (CORPUS, CORPUS[1:]):
        context = make_context("nq_gold", {"shared/corpus": documents, "dev/queries": asked})
        context.index.ensure(context.begin)
        items = {item.id: item for item in (await measure_abstention(context)).items}
        arm = "removed" if documents is CORPUS else "present"
        confidence[len(documents)] = items[f"q {arm}"].detail["confidence"]
    assert confidence[2] == confidence[1]
    assert confidence[1][RETRIEVAL] > 0


async def test_a_corpus_of_nothing_but_gold_passages_has_none_left(make_context: MakeContext) -> None:
    asked = [{"id": "q", "question": QUERIES[0]["question"], "gold": [{"doc_id": "tower"}], "answers": ["1889"]}]
    context = make_context("nq_gold", {"shared/corpus": CORPUS[:1], "dev/queries": asked})
    context.index.ensure(context.begin)
    _, removed = (await measure_abstention(context)).items
    assert removed.detail["confidence"][RETRIEVAL] == 0
    assert removed.scores[RIGHTLY] == 1
