"""Questions with their hits, as weights and thresholds are found with them."""

import gzip
import json
from pathlib import Path
from typing import Any

from pipelines.core.encoders import Encoder, Heads
from pipelines.core.settings import EncoderSettings, HeadSettings
from services.training.evidence.cases import conversation_cases

TORCH = EncoderSettings(engine="torch", precision="float32")
CONVERSATION = (
    "What is the Millau Viaduct?",
    "It is a bridge in the south of France, the tallest in the world.",
    "Who designed it?",
    "Norman Foster designed it with the engineer Michel Virlogeux.",
    "What did it cost?",
)


def _write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True)
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


def test_a_reply_that_a_later_turn_shows_is_what_its_question_should_find(tmp_path: Path) -> None:
    turns = [{"speaker": ("user", "system")[at % 2], "text": text} for at, text in enumerate(CONVERSATION)]
    asked = [
        {"id": f"cast2022-1_{at}", "question": CONVERSATION[at], "rewrite": CONVERSATION[at], "history": turns[:at]}
        for at in (0, 2, 4)
    ]
    _write(tmp_path / "cast_rewrite/train/rewrite.jsonl.gz", asked)
    pages = [{"id": f"clapnq:{at}", "title": f"Page {at}", "text": f"Tin has {at} isotopes."} for at in range(3)]
    untitled = {"id": "fiqa:0", "title": "", "text": "Buy low, sell high."}
    _write(tmp_path / "mtrag/shared/corpus.jsonl.gz", [*pages, untitled])
    resolve = Heads(TORCH, HeadSettings()).get("resolve")
    assert resolve is not None
    cases = conversation_cases(Encoder(TORCH), resolve, tmp_path, seed=7)
    assert len(cases) == 2, "nobody replied to the last question"
    for case, question, reply in zip(cases, CONVERSATION[0::2], CONVERSATION[1::2], strict=False):
        assert case.question.startswith(question)
        good = [hit.passage.text for hit, helps in zip(case.hits, case.good_passages, strict=True) if helps]
        assert good == [reply]
        assert {hit.passage.title for hit in case.hits} <= {"", "Page 0", "Page 1", "Page 2"}
        assert [len(each) for each in case.words] == [len(hit.passage.sentences) for hit in case.hits]
    assert "Millau" in cases[1].question, "words that the question needs are brought from earlier turns"
