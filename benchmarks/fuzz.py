"""Sends requests made from the service's own OpenAPI description, and has keys try everything of each other.

Half of the requests carry a key of every scope, a quarter none though one is needed, a quarter none where none is.
No response may be a 5xx (but 504 to a deadline that the request set itself), have a status, media type, header or body
that the description does not have, or come from behind a key without one. Then the tenant property test runs at length.

    python -m benchmarks.fuzz [--requests 20000] [--cases 2500]
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from pipelines.core.settings import Settings
from services.api.auth import OPEN
from services.runtime import Runtime
from tests.support.api_server import ApiServer
from tests.support.fuzz import Tally, fuzz
from tests.support.hash_encoder import HashEncoder

EXAMPLES = 40
PLANS = (("key", 0.5), ("none", 0.25), ("embedded", 0.25))
CASES_PER_WORLD = 25


def main() -> None:
    """Prints what came back, and every failure; exits with 1 where there is one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--cases", type=int, default=2500, help="of the tenant property test; 0 leaves it out")
    arguments = parser.parse_args()
    failures = [failed for plan, share in PLANS for failed in run(plan, round(arguments.requests * share))]
    for failure in failures:
        print(f"\n{failure}")
    held = not failures
    if arguments.cases:
        held &= tenants(arguments.cases)
    sys.exit(0 if held else 1)


def run(plan: str, wanted: int) -> list[str]:
    """Sends so many requests; gives the failures in words."""
    total = Tally()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        keys = "auto" if plan == "embedded" else "required"
        runtime = Runtime(Settings.model_validate({"data_dir": folder, "api": {"keys": keys}}))
        runtime.encoder = HashEncoder()  # type: ignore[assignment]
        with ApiServer(runtime) as server:
            _, secret = runtime.keys.create("default", "fuzz", ["admin"])
            while total.requests < wanted:
                found = fuzz(
                    server.app.openapi(),
                    f"http://127.0.0.1:{server.port}",
                    examples=EXAMPLES,
                    authorization=f"Bearer {secret}" if plan == "key" else None,
                    allowed=lambda path, status: plan != "none" or path in OPEN or status in {401, 429},
                )
                total.statuses.update(found.statuses)
                total.failures.update(found.failures)
    statuses: Counter[int] = Counter()
    for (_, status), number in total.statuses.items():
        statuses[status] += number
    print(
        f"{plan}: {total.requests:,} requests in {time.monotonic() - started:.0f} s, "
        f"{len(total.failures)} kinds of failure; by status {dict(sorted(statuses.items()))}",
        flush=True,
    )
    return [f"{plan}: {operation}: {kind}\n{told}" for (operation, kind), told in total.failures.items()]


def tenants(cases: int) -> bool:
    """Runs the property test of tenants with so many cases; whether it held."""
    worlds = -(-cases // CASES_PER_WORLD)
    variables = {"STRATA_TENANT_WORLDS": str(worlds), "STRATA_TENANT_CASES": str(CASES_PER_WORLD)}
    test = str(Path(__file__).parents[1] / "tests" / "integration" / "api" / "test_tenants.py")
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", test], env={**os.environ, **variables}, check=False)
    print(f"tenants: {worlds * CASES_PER_WORLD:,} cases: {'held' if done.returncode == 0 else 'FAILED'}")
    return done.returncode == 0


if __name__ == "__main__":
    main()
