"""What an operator is told to type works."""

import re
import shlex
from pathlib import Path

import helm_python
import pytest
from typer.testing import CliRunner

from services.cli.main import app
from tests.support.chart import CHART, value_set

ROOT = Path(__file__).parents[2]


def notes() -> str:
    with helm_python.Chart.load(CHART) as chart:
        return chart.render(value_set("default"), name="mine", namespace="rag")["strata/templates/NOTES.txt"]


def test_the_notes_name_what_is_installed() -> None:
    text = notes()
    assert "helm test mine --namespace rag" in text
    assert "deployment/mine-strata-worker-answers" in text
    assert "service/mine-strata 8000:80" in text


@pytest.mark.parametrize("text", [notes(), (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")])
def test_the_command_that_makes_the_first_key_makes_one(text: str, tmp_path: Path) -> None:
    (command,) = re.findall(r"strata (keys create [^`\n]+)", text)
    done = CliRunner().invoke(app, ["--data-dir", str(tmp_path), *shlex.split(command)])
    assert done.exit_code == 0, done.output
