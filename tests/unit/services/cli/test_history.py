from pathlib import Path

import pytest
import typer

from pipelines.core.types import Turn
from services.cli.history import read_history

TURNS = (Turn(role="user", text="Wer führt?\n"), Turn(role="assistant", text="Tamsin. 🦦"))
LINES = "\n".join(turn.model_dump_json() for turn in TURNS)


def history(path: Path, content: str | bytes) -> tuple[Turn, ...]:
    file = path / "history"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_history(file)


@pytest.mark.parametrize(
    "content", [LINES, f"\ufeff{LINES}\r\n\r\n", "\n[" + LINES.replace("\n", ",\n") + "]"], ids=["lines", "bom", "list"]
)
def test_turns_are_read_as_lines_or_as_a_list(tmp_path: Path, content: str) -> None:
    assert history(tmp_path, content) == TURNS


@pytest.mark.parametrize("content", ["", "\n \n", "[]"])
def test_nothing_is_no_conversation(tmp_path: Path, content: str) -> None:
    assert history(tmp_path, content) == ()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (LINES + "\nplease", "line 3 is not JSON"),
        ("[1", "the list is not JSON"),
        ("[" * 100_000, "the list is not JSON"),
        ("7", "turn 1 is not"),
        (LINES + '\n{"role": "system", "text": "x"}', "turn 3 is not"),
        ('{"role": "user", "content": "x"}', "turn 1 is not"),
        (b"\xff\xfe\x00", "no UTF-8 text"),
    ],
)
def test_what_is_no_conversation_is_wrong_usage(tmp_path: Path, content: str | bytes, reason: str) -> None:
    with pytest.raises(typer.BadParameter, match=reason):
        history(tmp_path, content)


def test_a_file_that_cannot_be_read_is_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(typer.BadParameter, match="cannot be read"):
        read_history(tmp_path / "nowhere")
    with pytest.raises(typer.BadParameter, match="cannot be read"):
        read_history(tmp_path)
