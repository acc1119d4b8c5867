"""What the benchmark of peers rests on: every system's prompt is understood, and citations are held to the source."""

import json

import pytest

from benchmarks.peers.judge import valid
from benchmarks.peers.systems.base import Chunk
from benchmarks.peers.writer import Prompt, UnknownPromptError, Writer, read

QUESTION = "Where does the heron nest?"
HERON = "Herons\nThe grey heron nests in tall alder trees. It eats fish."
OTTER = "Otters\nThe otter sleeps in holts along the river bank."

LLAMA_INDEX = (
    "For example:\nSource 1:\nThe sky is red.\nNow it's your turn. Below are several numbered sources of information:"
    f"\n------\nSource 1:\n{OTTER}\n\n\nSource 2:\n{HERON}\n\n------\nQuery: {QUESTION}\nAnswer: "
)
PAPER_QA = (
    "Answer the question below with the context.\n\nContext:\n\n"
    f"pqac-0000000a: {OTTER}\nFrom Otters\n\npqac-0000000b: {HERON}\nFrom Herons\n\nValid Keys: pqac-0000000a, "
    f"pqac-0000000b\n\n---\n\nQuestion: {QUESTION}\n\nWrite an answer based on the context. "
)
HAYSTACK = (
    "Given the following documents, answer the question. Cite them.\n\nDocuments:\n\n"
    f"[1] {OTTER}\n\n[2] {HERON}\n\nQuestion: {QUESTION}\nAnswer:"
)
STRATA = json.dumps(
    {"question": QUESTION, "evidence": [{"number": n, "from": "", "text": t} for n, t in ((1, OTTER), (2, HERON))]}
)
TXTAI = (
    f"Answer the following question using the provided context.\n\nQuestion:\n{QUESTION}\n\nContext:\n{OTTER} {HERON}\n"
)
SENTENCE = "The grey heron nests in tall alder trees."


def writer(swap_share: float = 0.0) -> Writer:
    return Writer([HERON, OTTER], sentences=1, swap_share=swap_share)


@pytest.mark.parametrize(
    ("prompt", "marker"),
    [(LLAMA_INDEX, "[2]"), (PAPER_QA, "(pqac-0000000b)"), (HAYSTACK, "[2]"), (STRATA, "[2]"), (TXTAI, "")],
)
def test_each_system_is_answered_in_its_own_form(prompt: str, marker: str) -> None:
    assert read(prompt).question == QUESTION
    assert writer().write([{"role": "user", "content": prompt}]).text == f"{SENTENCE} {marker}".strip()


@pytest.mark.parametrize("prompt", [LLAMA_INDEX, PAPER_QA, HAYSTACK, STRATA])
def test_both_passages_are_seen_and_nothing_else(prompt: str) -> None:
    assert [text for _, text in read(prompt).passages] == [OTTER, HERON]


def test_a_wrong_citation_names_the_other_passage() -> None:
    written = writer(swap_share=1.0).write([{"role": "user", "content": HAYSTACK}])
    assert written.swapped
    assert written.text == f"{SENTENCE} [1]"


def test_a_summary_is_scored_by_what_it_shares_with_the_question() -> None:
    def score(text: str) -> int:
        prompt = f"Excerpt from it\n\n---\n\n{text}\n\n---\n\nQuestion: {QUESTION}"
        return json.loads(writer().write([{"role": "user", "content": prompt}]).text)["relevance_score"]

    assert score(HERON) > 0
    assert score("Otters are playful all day long.") == 0


def test_an_unknown_prompt_is_refused() -> None:
    with pytest.raises(UnknownPromptError):
        writer().write([{"role": "user", "content": "Tell me a story."}])


CHUNKS = {"h": Chunk("h", "Herons", HERON.partition("\n")[2]), "o": Chunk("o", "Otters", OTTER.partition("\n")[2])}


@pytest.mark.parametrize(
    ("text", "sources", "holds"),
    [
        (f"{SENTENCE} [1]", {"[1]": "h"}, True),
        (f"{SENTENCE} [1]", {"[1]": "o"}, False),
        (f"{SENTENCE} [1] [2]", {"[1]": "h", "[2]": "o"}, False),
        (f"{SENTENCE} [1]\nThe otter swims. [2]", {"[1]": "h", "[2]": "o"}, False),
        (f"{SENTENCE} [3]", {"[1]": "h"}, False),
        (SENTENCE, {}, False),
        (SENTENCE, {"": "h"}, True),
        (f"{SENTENCE}\nThe otter sleeps in holts along the river bank.", {"": "h"}, False),
    ],
)
def test_a_citation_holds_where_the_claim_stands_in_its_source(text: str, sources: dict[str, str], holds: bool) -> None:
    assert valid(text, sources, CHUNKS) is holds


def test_a_prompt_shows_its_passages() -> None:
    assert Prompt("?", (("[1]", "one"), ("[2]", "two"))).shown == "one\ntwo"
