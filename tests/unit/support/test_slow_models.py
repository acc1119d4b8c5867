"""The models of fixed delay keep to the schemas of the stages that they stand in for."""

from pipelines.cite import Bindings
from pipelines.core.types import MARKER
from pipelines.plan import Rewrite
from pipelines.prune import Selection
from tests.support.slow_models import reply


def test_replies_are_of_the_stages_schemas() -> None:
    assert Rewrite.model_validate_json(reply("plan", {"question": "Why?"})).standalone == "Why?"
    passages = [{"number": number, "sentences": {"0": "One.", "1": "Two."}} for number in range(1, 6)]
    selection = Selection.model_validate_json(reply("prune", {"passages": passages}))
    assert [(kept.passage, kept.sentences) for kept in selection.keep] == [(1, [0, 1]), (2, [0, 1]), (3, [0, 1])]
    bindings = Bindings.model_validate_json(reply("cite", {"claims": [{"number": 1}, {"number": 2}]}))
    assert [binding.claim for binding in bindings.bindings] == [1, 2]
    answer = reply("synthesize", {"evidence": [{"number": 1, "text": "The gate is red."}]})
    assert (answer, MARKER.findall(answer)) == ("The gate is red. [1]", ["1"])
