"""The image by inspection: no machine of the tests can run `docker build`, so its steps are held to what CI does."""

import re
import shlex
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PACKAGES = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]


def steps() -> list[tuple[str, list[str]]]:
    """The Dockerfile's instructions and their words, comments and line breaks removed."""
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    joined = re.sub(r"\\\n", " ", "\n".join(line for line in lines if not line.lstrip().startswith("#")))
    found = [line.split(maxsplit=1) for line in joined.splitlines() if line.strip()]
    return [(name, shlex.split(rest) if name != "ENTRYPOINT" and name != "CMD" else [rest]) for name, rest in found]


def last_stage() -> list[tuple[str, list[str]]]:
    every = steps()
    start = max(place for place, (name, _) in enumerate(every) if name == "FROM")
    return every[start:]


def installs() -> list[list[str]]:
    """Every `pip install` of the build stages, as words."""
    commands = [words for name, words in steps() if name == "RUN"]
    singles = [single.split() for words in commands for single in " ".join(words).split(" && ")]
    return [words[2:] for words in singles if words[:2] == ["pip", "install"]]


def test_dependencies_are_the_pinned_ones_that_ci_installs() -> None:
    torch, everything = installs()
    assert torch == "-c constraints.txt --no-deps --index-url https://download.pytorch.org/whl/cpu torch".split()
    assert everything[:2] == ["-c", "constraints.txt"]
    assert "-c constraints.txt" in (ROOT / "Makefile").read_text(encoding="utf-8")
    assert "make test" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    extras = re.fullmatch(r"\.\[(.+)\]", everything[2])
    assert extras is not None
    known = PROJECT["project"]["optional-dependencies"]
    assert set(extras[1].split(",")) == set(known) - {"dev", "train"}  # all that a server may need
    assert known["dev"][0] == f"{PROJECT['project']['name']}[{extras[1]},train]"


def test_what_is_copied_exists_and_is_all_that_the_wheel_needs() -> None:
    copies = [words for name, words in steps() if name == "COPY" and not words[0].startswith("--from")]
    sources = {source.rstrip("/") for *sources, _ in copies for source in sources}
    assert all((ROOT / source).exists() for source in sources)
    needed = {*PACKAGES, PROJECT["project"]["readme"], *PROJECT["project"]["license-files"], "pyproject.toml"}
    assert sources == needed | {"constraints.txt"}
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert {line.removeprefix("!") for line in ignored if line.startswith("!")} == sources
    assert ignored[1] == "*"


def test_it_runs_as_a_number_that_is_not_root() -> None:
    users = [words[0] for name, words in last_stage() if name == "USER"]
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", users[-1])


def test_it_starts_the_service_with_the_command_that_the_wheel_brings() -> None:
    stage = dict(last_stage())
    assert stage["ENTRYPOINT"] == ['["strata"]']
    assert stage["CMD"] == ['["serve"]']
    assert "strata" in PROJECT["project"]["scripts"]


def test_its_bases_are_pinned_and_its_version_is_the_distribution_s() -> None:
    arguments = dict(words[0].split("=", 1) for name, words in steps() if name == "ARG")
    assert re.fullmatch(r"python:3\.11\.\d+-slim-bookworm", arguments["BASE"])
    assert arguments["VERSION"] == PROJECT["project"]["version"]
    assert {words[0] for name, words in steps() if name == "FROM"} == {"${BASE}", "dependencies"}


def test_nothing_of_the_package_manager_and_no_secret_stays() -> None:
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert "apt" not in text
    assert not re.search(r"(?i)(ARG|ENV)\s+\S*(key|token|password|secret)", text)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The names in the wheel, built as the image builds it."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return zipfile.ZipFile(built).namelist()


def test_the_wheel_holds_the_packages_and_nothing_else(wheel: list[str]) -> None:
    tops = {name.partition("/")[0] for name in wheel}
    (metadata,) = (top for top in tops if top.endswith(".dist-info"))
    assert tops - {metadata} == set(PACKAGES)
    assert not [name for name in wheel if "test" in name.lower() or "__pycache__" in name]


def test_the_wheel_holds_every_file_of_the_packages(wheel: list[str]) -> None:
    files = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert files - set(wheel) == set()
    assert "pipelines/core/state/migrations/env.py" in wheel
