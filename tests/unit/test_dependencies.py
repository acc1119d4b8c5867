"""What the code imports is what the distribution declares."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).parents[2]
OURS = ("pipelines", "indexing", "services")
NOT_IMPORTED = {
    "cryptography",  # pypdf's
    "lxml-html-clean",  # trafilatura's
    "python-multipart",  # Starlette's
}
PINNED_BY_ANOTHER = {"pydantic-core"}  # by pydantic, to one version


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def imported() -> set[str]:
    found = set()
    for folder in OURS:
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Import):
                    found |= {alias.name.partition(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    found.add(node.module.partition(".")[0])
    return found - set(sys.stdlib_module_names) - set(OURS)


def names(lines: list[str]) -> set[str]:
    return {normal(re.match(r"[\w.-]+", line)[0]) for line in lines}  # type: ignore[index]


def test_every_import_is_declared_and_everything_declared_is_used() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = names(project["dependencies"])
    optional = {
        name for extra in ("postgres", "s3", "otel", "train") for name in names(project["optional-dependencies"][extra])
    }
    owners = packages_distributions()
    # a namespace such as `opentelemetry` has several owners: one of them is enough
    used = [{normal(owner) for owner in owners[module]} for module in imported()]
    assert [each for each in used if not each & (declared | optional | PINNED_BY_ANOTHER)] == []
    assert declared - set().union(*used) == NOT_IMPORTED


def test_every_dependency_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [line for lines in project["optional-dependencies"].values() for line in lines]
    extras = [line for line in extras if not line.startswith(project["name"])]  # one extra may name another
    names = {normal(re.match(r"[\w.-]+", line)[0]) for line in (*project["dependencies"], *extras)}  # type: ignore[index]
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert names - {normal(line.partition("==")[0]) for line in lines} == set()
