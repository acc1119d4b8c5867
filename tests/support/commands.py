"""The commands of a distributed Strata: tests and benchmarks start these, and so do compose.yaml and the chart."""

import sys
from collections.abc import Sequence

from pipelines.core.settings import Role

MIGRATE = ("strata", "migrate")
SERVE = ("strata", "serve")


def worker(*roles: Role) -> tuple[str, ...]:
    """A worker process of these roles."""
    return ("strata", "worker", *roles)


def runnable(command: Sequence[str]) -> list[str]:
    """The command with this interpreter and this checkout, whatever is installed."""
    assert command[0] == "strata"
    return [sys.executable, "-m", "services.cli.main", *command[1:]]
