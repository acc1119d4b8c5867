"""What each process of the distributed form runs, after `strata`: the cluster of the tests starts these, and tests hold
`compose.yaml` and the Helm chart to them."""

import sys

from pipelines.core.settings import ROLES, Role

SERVE = ("serve",)
MIGRATE = ("migrate",)
WORKERS = {role: ("worker", role) for role in ROLES}


def worker(*roles: Role) -> tuple[str, ...]:
    """One process with several roles, to have fewer on a small machine."""
    return ("worker", *roles)


def runnable(command: tuple[str, ...]) -> list[str]:
    """The command with this interpreter and this checkout, whatever is installed."""
    return [sys.executable, "-m", "services.cli.main", *command]
