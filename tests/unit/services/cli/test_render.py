import json
from pathlib import Path

import pytest

from services.cli.render import clean, cost, duration, one_line, place, print_json, where


def test_text_of_documents_cannot_command_a_terminal() -> None:
    hostile = "safe\x1b[2J\x1b]0;title\x07 text\x9b31m\u202egnp.exe\r\nnext\ttab"
    assert clean(hostile) == "safe[2J]0;title text31mgnp.exe\nnext\ttab"
    assert one_line(hostile).isprintable()


def test_json_for_programs_cannot_command_a_terminal_and_keeps_the_text(capsys: pytest.CaptureFixture[str]) -> None:
    value = {"text": "a\x1b[2J\x9b \u202e é 日本 \n"}
    print_json(value)
    shown = capsys.readouterr().out
    assert json.loads(shown) == value
    assert not {"\x1b", "\x9b", "\u202e"} & set(shown)
    assert "日本" in shown


def test_a_source_is_shown_as_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert place((tmp_path / "a b" / "ü.md").as_uri()) == "a b/ü.md"
    assert place("file:///elsewhere/x.md") == "/elsewhere/x.md"
    assert place("https://example.org/a?b=c") == "https://example.org/a?b=c"


def test_where_a_passage_stands() -> None:
    assert where("Title", ("One", "Two"), 3) == "Title › One › Two — page 3"
    assert where("Title\n2", (), None) == "Title 2"
    assert where("Report (file)", ("Report", "Analysis"), 1) == "Report (file) › Analysis — page 1"


@pytest.mark.parametrize(
    ("usd", "shown"), [(None, "unknown"), (0.0, "$0"), (0.000012, "$0.000012"), (0.0012, "$0.0012"), (1.5, "$1.5000")]
)
def test_cost(usd: float | None, shown: str) -> None:
    assert cost(usd) == shown


@pytest.mark.parametrize(("seconds", "shown"), [(4.24, "4.2 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")])
def test_duration(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown
