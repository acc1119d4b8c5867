"""What the head says of hits, put together with words, ranks and named titles."""

from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np
import pytest

from pipelines.core.encoders import Encoder, Heads, HeadScores, Pair
from pipelines.core.encoders.spec import HeadSpec
from pipelines.core.settings import EncoderSettings, HeadSettings, PruneSettings
from pipelines.core.tasks import PruneTask
from pipelines.core.types import Hit, Usage
from pipelines.prune import EncoderPruner
from pipelines.reading import (
    PASSAGE_FEATURES,
    Logits,
    Reading,
    evidence_pair,
    links,
    read_hits,
    sentence_features,
    weighted,
)
from tests.support.evidence import hits, passage
from tests.support.hash_encoder import HashEncoder

FILM = hits(
    passage("Nothing of note.", "She played in The Silent Sea in 1960.", document="a", title="Ann Lee"),
    passage("A drama by Jo Ray.", "It was made in Rome.", document="b", title="The Silent Sea (film)"),
    passage("A harbour town.", document="c", title="Sea"),
)

LOGITS = Logits(np.zeros(3, np.float32), tuple(np.zeros(len(hit.passage.sentences), np.float32) for hit in FILM))


class Saying:
    """A head that says what it is told to."""

    def __init__(self, calibration: dict[str, float] | None = None) -> None:
        labels = ("helps",)
        self.spec = HeadSpec(
            name="evidence",
            version="1",
            backbone="x",
            pair_labels=labels,
            span_labels=labels,
            max_tokens=256,
            calibration=calibration or {},
        )
        self.name = "encoder/evidence@1"
        self.read: list[Pair] = []

    def score(self, pairs: Sequence[Pair]) -> HeadScores:
        """The second sentence of the first pair helps."""
        self.read += pairs
        spans = [np.full((len(pair.spans), 1), -4.0, np.float32) for pair in pairs]
        spans[0][1] = 3.0
        return HeadScores(np.linspace(1, -1, len(pairs), dtype=np.float32)[:, None], tuple(spans), Usage(calls=1))


def read(calibration: dict[str, float] | None = None, found: tuple[Hit, ...] = FILM) -> Reading:
    words = [(0.5,) * len(hit.passage.sentences) for hit in found]
    return read_hits(Saying(calibration), "who?", found, words, range(len(found)))  # type: ignore[arg-type]


def test_a_head_that_was_not_calibrated_speaks_for_itself() -> None:
    reading = read()
    assert [len(each) for each in reading.sentences] == [2, 2, 1]
    assert reading.sentences[0][1] == pytest.approx(1 / (1 + np.exp(-3)))
    assert reading.passages == pytest.approx([1 / (1 + np.exp(-x)) for x in (1, 0, -1)])


def test_a_passage_that_a_strong_sentence_names_gains() -> None:
    plain = {"alone.sentence": 1.0, "sentence.sentence": 1.0}
    before, after = read(plain), read({**plain, "sentence.linked": 2.0})
    assert after.sentences[0] == before.sentences[0]
    assert all(late > early for late, early in zip(after.sentences[1], before.sentences[1], strict=True))
    assert after.sentences[2] == before.sentences[2], "`Sea` is too short a title to be named by more than chance"


def test_a_link_counts_as_far_as_the_question_does_not_name_where_it_leads() -> None:
    words = [(0.5,) * len(hit.passage.sentences) for hit in FILM]
    said = {
        question: sentence_features(question, FILM, LOGITS, words, linked=[0.0, 0.8, 0.0])[2, -1]
        for question in ("who?", "who made the sea film?", "who made The Silent Sea?")
    }
    assert said == pytest.approx({"who?": 0.8, "who made the sea film?": 0.4, "who made The Silent Sea?": 0.0})


def test_links_are_between_documents_and_whole_words() -> None:
    half = [np.full(len(hit.passage.sentences), 0.5) for hit in FILM]
    assert links(FILM, half) == [0.0, 0.5, 0.0]
    itself = hits(passage("The Silent Sea is long.", document="b", title="The Silent Sea"))
    assert links(itself, [np.array([0.9])]) == [0.0]
    part = hits(
        passage("The Silent Seaside is a book.", document="a", title="One of many"),
        passage("Text.", document="b", title="The Silent Sea"),
    )
    assert links(part, [np.array([0.9]), np.array([0.1])]) == [0.0, 0.0]


def test_the_question_is_read_with_each_passage_once() -> None:
    head = Saying()
    words = [(0.0,) * len(hit.passage.sentences) for hit in FILM]
    read_hits(head, "who?", FILM, words, range(len(FILM)))  # type: ignore[arg-type]
    assert head.read == [evidence_pair("who?", hit) for hit in FILM]
    pair = head.read[1]
    assert [pair.second[start:end] for start, end in pair.spans] == ["A drama by Jo Ray.", "It was made in Rome."]
    assert pair.context == "The Silent Sea (film)"


def test_a_hit_that_is_read_keeps_its_place_among_all_that_were_found() -> None:
    scored = tuple(hit.model_copy(update={"score": score}) for hit, score in zip(FILM, (0.8, 0.4, 0.2), strict=True))
    words = [(0.5,) * len(hit.passage.sentences) for hit in FILM]
    head = Saying({"passage.fused": 1.0, "passage.rank": 3.0})
    reading = read_hits(head, "who?", scored, words, [1, 2])  # type: ignore[arg-type]
    assert len(head.read) == 2
    assert reading.passages == pytest.approx([1 / (1 + np.exp(-x)) for x in (0.5 + 1.5, 0.25 + 1.0)])


@pytest.mark.parametrize(("second", "chosen"), [(0.2, "Ann Lee"), (0.9, "The Silent Sea (film)")])
def test_passages_are_chosen_to_be_read_by_retrieval_and_by_their_words(second: float, chosen: str) -> None:
    found = tuple(hit.model_copy(update={"score": score}) for hit, score in zip(FILM, (1.0, second, 0.1), strict=True))
    head = Saying()
    heads = SimpleNamespace(get=lambda name: head if name == "evidence" else None)
    pruner = EncoderPruner(HashEncoder(), PruneSettings(read_passages=1), heads)  # type: ignore[arg-type]
    question = "Was it made in Rome?"
    scored = pruner.score(PruneTask(question=question, asked=question, hits=found, timeout_s=10))
    assert [pair.context for pair in head.read] == [chosen]
    assert [bool(each.relevance) for each in scored.hits].count(True) == 1


def test_weights_that_are_missing_are_zero() -> None:
    assert weighted({"passage.fused": 2.0}, "passage", PASSAGE_FEATURES).sum() == 2.0


# --- The head that comes with Strata ----------------------------------------------------------------------------------

SETTINGS = EncoderSettings(engine="torch", precision="float32")


@pytest.fixture(scope="module")
def pruner() -> EncoderPruner:
    return EncoderPruner(Encoder(SETTINGS), PruneSettings(min_tokens=0), Heads(SETTINGS, HeadSettings()))


CASES = (
    (
        "Who designed the tallest bridge of France?",
        "Foster drew up plans for Millau.",
        "The weather was fine that day.",
    ),
    (
        "when did the first passenger ship sail through the canal",
        "In August 1914 the SS Ancon was the first vessel to pass from sea to sea.",
        "The canal has three locks.",
    ),
    (
        "How do I change my password?",
        "Open the settings, choose Security and enter a new one twice.",
        "Passwords are stored as salted hashes.",
    ),
    ("What do guinea pigs eat?", "Their diet in the wild is grass.", "Guinea pigs came to Europe in the 16th century."),
    ("how many people live in the town", "It has a population of 4,310.", "The town hall was built by many people."),
    ("Where is the author of The Long Road from?", "The Long Road is a novel by Mira Tal.", "It sold badly at first."),
    ("When was the firm founded?", "It began in 1921 in a shed.", "The firm makes shoes for firms."),
    ("who wrote the song", "It was penned by Ruth Bell.", "The song was a hit in May."),
    ("How tall is the tower?", "It rises 93 metres above the square.", "The tower is open to visitors on Sundays."),
    ("where was she born", "Her birthplace is Leeds.", "She was a born leader."),
    ("How much does the licence cost?", "It is priced at 40 dollars a year.", "The licence is granted by the board."),
)
"""A question, the sentence that helps, and one that often shares more words with it."""


def test_it_tells_the_sentence_that_helps_from_one_that_shares_words() -> None:
    head = Heads(SETTINGS, HeadSettings()).get("evidence")
    assert head is not None
    right = 0
    for number, (question, good, other) in enumerate(CASES):
        sentences = (good, other) if number % 2 else (other, good)
        pair = evidence_pair(question, hits(passage(*sentences, title="Notes"))[0])
        right += sentences[int(np.argmax(head.score([pair]).spans[0][:, 0]))] == good
    assert right >= 10, "of 11; a coin does so once in 170 times"


async def test_the_second_hop_is_kept_and_the_receipt_names_the_head(pruner: EncoderPruner) -> None:
    found = hits(
        passage("Paul Ott is a Swiss painter.", "He paints cows.", document="x", title="Paul Ott"),
        passage("Lena Kerr starred in The Silent Sea.", "She lives in Leeds.", document="a", title="Lena Kerr"),
        passage("Tin is a metal.", "Its symbol is Sn.", document="y", title="Tin"),
        passage("It was directed by Jo Ray in 1960.", "Prints are rare.", document="b", title="The Silent Sea"),
    )
    question = "Who directed the film that Lena Kerr starred in?"
    task = PruneTask(question=question, asked=question, hits=found, timeout_s=60)
    result = await pruner(task)
    kept = [item.passage.quote(item.passage.sentences[at]) for item in result.evidence.items for at in item.kept]
    assert {"Lena Kerr starred in The Silent Sea.", "It was directed by Jo Ray in 1960."} <= set(kept)
    assert "Its symbol is Sn." not in kept
    assert result.receipt.model == "encoder/evidence@1"
    assert result.receipt.usage.tokens_in > 0


async def test_words_and_vectors_step_in_where_the_head_is_off() -> None:
    encoder = Encoder(SETTINGS)
    off = EncoderPruner(encoder, PruneSettings(), Heads(SETTINGS, HeadSettings(evidence="off")))
    alone = EncoderPruner(encoder, PruneSettings())
    task = PruneTask(question="who painted cows", asked="who painted cows", hits=FILM, timeout_s=60)
    assert off.score(task).hits == alone.score(task).hits
    assert (await off(task)).receipt.model == encoder.name


def test_other_backbones_have_no_head() -> None:
    assert Heads(EncoderSettings(model="some/other-model"), HeadSettings()).get("evidence") is None
