import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines.core.errors import InvalidRequestError, ModelRejectedError
from pipelines.core.settings import Settings
from pipelines.core.types import Answer, AnswerStatus, Question
from services.cli.answering import Answering, Summary
from services.runtime import Runtime


class Desk:
    """A runtime whose answers are made up."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "questions.jsonl"
        self.out = folder / "answers.jsonl"
        self.asked: list[str] = []
        self.refused: set[str] = set()
        self.runtime = Runtime(Settings(data_dir=folder / "data"))
        self.runtime.batches._ask = self.ask

    async def ask(self, question: Question) -> Answer:
        self.asked.append(question.text)
        if question.text in self.refused:
            raise ModelRejectedError("The key is wrong.")
        return Answer(id=question.text, question=question.text, status=AnswerStatus.ANSWERED, text="Yes.")

    def run(self, *, again: bool = False, retry_failed: bool = False) -> Summary:
        with Answering(self.runtime, self.file, self.out) as batch:
            batch.accept(again=again, retry_failed=retry_failed)
            return batch.work()

    def results(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.read_text().splitlines()]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    desk.file.write_text('{"question": "one", "custom_id": "a"}\n{"question": "two"}\n{"question": "three"}')
    with desk.runtime:
        yield desk


def test_a_file_is_answered_once(desk: Desk) -> None:
    summary = desk.run()
    assert (summary.total, summary.answered, summary.failed) == (3, 3, 0)
    assert [(each["ordinal"], each["custom_id"], each["answer"]["id"]) for each in desk.results()] == [
        (0, "a", "one"),
        (1, None, "two"),
        (2, None, "three"),
    ]
    desk.run()
    assert sorted(desk.asked) == ["one", "three", "two"]
    assert len(desk.results()) == 3


@pytest.mark.parametrize("rest", [b"", b'{"ordinal": 1, "custom', b'{"ordinal": 1, "custom_id": null}'])
def test_results_go_on_behind_the_last_whole_line(desk: Desk, rest: bytes) -> None:
    desk.run()
    whole = desk.out.read_bytes()
    desk.out.write_bytes(whole.split(b"\n")[0] + b"\n" + rest)
    desk.run()
    assert desk.out.read_bytes() == whole


def test_failed_questions_are_asked_again_on_demand(desk: Desk) -> None:
    desk.refused = {"two"}
    assert desk.run().failed == 1
    assert desk.results()[1]["error"] == {"code": "model_rejected", "detail": "The key is wrong."}
    desk.refused = set()
    assert desk.run().failed == 1
    assert desk.run(retry_failed=True).failed == 0
    assert [each["status"] for each in desk.results()] == ["answered"] * 3
    assert desk.asked.count("one") == 1


def test_a_file_may_be_asked_anew(desk: Desk) -> None:
    desk.run()
    desk.out.unlink()
    desk.run(again=True)
    assert desk.asked.count("one") == 2


def test_other_content_is_not_continued(desk: Desk) -> None:
    desk.out.write_text("notes of mine\n")
    with pytest.raises(InvalidRequestError, match="something else"):
        desk.run()
    assert desk.out.read_text() == "notes of mine\n"


def test_a_wrong_line_is_named_and_nothing_is_asked(desk: Desk) -> None:
    desk.file.write_text('{"question": "one"}\nnonsense\n{"question": 3}\n')
    with pytest.raises(InvalidRequestError, match=r"line 2: This is not JSON\. \(and 1 more\)"):
        desk.run()
    assert desk.asked == []
    desk.file.write_text("")
    with pytest.raises(InvalidRequestError, match="no question"):
        desk.run()
