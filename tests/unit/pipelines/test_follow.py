"""A second search, over a real index: for what the evidence names and the question lacks."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines.core.events import Event
from pipelines.core.settings import IndexSettings, RetrieveSettings
from pipelines.core.store import DocumentVersion, EmbeddedPassage, Schema, Store
from pipelines.core.store.edge import EmbeddedStore
from pipelines.core.tasks import CiteTask, InlineRunner, PlanTask, PruneResult, PruneTask
from pipelines.core.types import DEFAULT_TENANT, Evidence, Filter, Passage, Question, StageReceipt, Usage
from pipelines.follow import MOST_FOLLOWED, Follower, names_in, title_key
from tests.support.evidence import evidence, hits, passage, session
from tests.support.hash_encoder import HashEncoder

ASKED = "Where was the designer of the Millau viaduct born?"
VIADUCT = passage("The Millau viaduct was designed by Norman Foster.", document="a", title="Millau viaduct")
FOSTER = passage("He was born in Stockport.", document="b", title="Norman Foster (architect)")
SECRET = passage("Norman Foster keeps a secret.", document="c", title="Norman Foster").model_copy(
    update={"labels": ("board",)}
)
OTHER = passage("Norman Foster is mentioned here.", document="d", title="Visitors")
COST = Usage(calls=1, tokens_in=10, cost_usd=0.25)


class World:
    """An index, and a prune stage that finds the evidence sufficient once it tells of Stockport."""

    def __init__(self, folder: Path) -> None:
        self.encoder: Any = HashEncoder()
        self.store: Store = EmbeddedStore(folder, IndexSettings(), Schema(encoder="hash@1", dim=HashEncoder.dim)).open()
        self.fallback = ""
        self.tasks: list[PruneTask] = []
        self.events: list[Event] = []
        for each in (VIADUCT, FOSTER, SECRET, OTHER):
            self.add(each)

    def add(self, each: Passage) -> None:
        [vector] = self.encoder.embed([f"{each.context} {each.text}"]).vectors
        self.store.write([EmbeddedPassage(each, vector, DEFAULT_TENANT)])
        self.store.publish(DocumentVersion(each.document_id, each.version))

    async def prune(self, task: PruneTask) -> PruneResult:
        self.tasks.append(task)
        enough = any("Stockport" in hit.passage.text for hit in task.hits)
        receipt = StageReceipt(stage="prune", tier="small", model="m", usage=COST, fallback=self.fallback)
        chosen = evidence(*(hit.passage for hit in task.hits), sufficient=enough)
        return PruneResult(evidence=chosen, receipt=receipt)

    async def never(self, task: PlanTask | CiteTask) -> Any:
        raise AssertionError

    async def follow(self, first: Evidence, *, rounds: int = 2, session: Any = None, **filter_: Any) -> Evidence:
        runner = InlineRunner(plan=self.never, prune=self.prune, cite=self.never)
        follower = Follower(self.store, self.encoder, runner, RetrieveSettings(rounds=rounds))
        found = await follower.run_async(
            Question(text="Where was he born?", filter=Filter(**filter_)),
            ASKED,
            hits(*(item.passage for item in first.items)),
            first,
            session or self.session(),
        )
        return found["evidence"]

    def session(self, **limits: Any) -> Any:
        return session(self.events, **limits)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.store.close()


async def test_what_the_evidence_names_is_looked_up_and_the_evidence_chosen_anew(world: World) -> None:
    asking = world.session(max_cost_usd=1.0)
    found = await world.follow(evidence(VIADUCT, sufficient=False), session=asking, labels=())
    assert found.sufficient
    [task] = world.tasks
    assert [hit.passage.document_id for hit in task.hits] == ["a", "b"]
    assert task.hits[-1].score <= task.hits[0].score
    assert (task.question, task.asked, task.cost_left_usd) == (ASKED, "Where was he born?", 1.0)
    assert [event.type for event in world.events] == ["evidence"]
    receipt = asking.receipt()
    assert [(each.stage, each.usage.calls) for each in receipt.stages] == [("retrieve", 1), ("prune", 1)]
    assert receipt.total.cost_usd == pytest.approx(0.25)


@pytest.mark.parametrize(("rounds", "sufficient"), [(1, False), (2, True), (3, True)])
async def test_nothing_is_done_where_it_suffices_or_one_round_is_all(
    world: World, rounds: int, sufficient: bool
) -> None:
    asking, first = world.session(), evidence(VIADUCT, sufficient=sufficient)
    assert await world.follow(first, rounds=rounds, session=asking) is first
    assert (asking.receipt().stages, world.events, world.encoder.texts[-1:]) == (
        (),
        [],
        [f"{OTHER.context} {OTHER.text}"],
    )


async def test_no_passage_is_followed_that_the_question_may_not_see(world: World) -> None:
    first = evidence(VIADUCT, sufficient=False)
    assert await world.follow(first, labels=(), document_ids=("a", "c", "d")) is first
    assert await world.follow(first, tenant="another") is first
    assert world.tasks == []
    await world.follow(first, labels=("board",))
    assert {hit.passage.document_id for hit in world.tasks[0].hits} == {"a", "b", "c"}


async def test_a_round_that_fell_back_decides_nothing(world: World) -> None:
    world.fallback = "the stage was late"
    first = evidence(VIADUCT, sufficient=False)
    assert await world.follow(first) is first
    assert len(world.tasks) == 1


async def test_rounds_end_where_nothing_new_is_named(world: World) -> None:
    third = passage("The Tarn flows under it. Norman Foster knows.", document="e", title="Bridges")
    found = await world.follow(evidence(third, sufficient=False), rounds=3, document_ids=("a", "c", "e"))
    assert not found.sufficient
    assert len(world.tasks) == 1  # of its two further rounds the second finds nothing that is new


async def test_few_passages_of_a_long_document_are_added(world: World) -> None:
    long = [passage(f"Part {n}.", document=f"n{n}", title="Norman Foster", start=n) for n in range(2 * MOST_FOLLOWED)]
    for each in long:
        world.add(each)
    await world.follow(evidence(VIADUCT, sufficient=False))
    assert len(world.tasks[0].hits) == 1 + MOST_FOLLOWED


async def test_nothing_is_named_in_no_evidence(world: World) -> None:
    assert not (await world.follow(Evidence())).sufficient
    assert world.tasks == []


def test_names_are_those_that_the_question_and_the_title_do_not_know() -> None:
    told = passage("The Millau viaduct in France was built by Eiffage.", "It spans the Tarn.", title="Millau viaduct")
    assert names_in("Who built the viaduct in France?", evidence(told)) == ["Eiffage", "Tarn"]
    many = passage(" ".join(f"Name{number}" for number in range(50)), title="x")
    assert len(names_in("?", evidence(many))) == 1  # one after the other they are one name


def test_titles_are_compared_without_what_does_not_matter() -> None:
    assert title_key("The Beatles (band)") == title_key("beatles") == "beatles"
    assert title_key("The") == "the"
    assert title_key("") == ""
