"""Kills processes of a cluster at random moments under load, starts them again, and accounts for everything.

One cluster lives through all events. During each event documents are submitted so that work always waits (2,000 of them
at least), questions are asked at a steady rate, and the event happens `--trials` times, each at a random moment. Then
the work is left to end, and the ledger's tables and every point of the index are held against what was accepted.

Each process believes that it is alone on its host, which needs root, so that what it held is free only when its lease
ends; `--one-host` does without.

    python -m benchmarks.chaos [--event redis ...] [--trials 10] [--documents 2000] [--seed 7] [--json FILE]
"""

import argparse
import json
import random
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.load import LATE, LOST, REFUSED, Asked, Feeder, Questions, document
from pipelines.core.settings import Role
from tests.support.accounting import account, held_by, open_documents, written_again
from tests.support.cluster import Cluster
from tests.support.slow_models import SlowModels

WORKERS: dict[str, tuple[Role, ...]] = {
    "stages-1": ("plan", "prune", "cite"),
    "stages-2": ("plan", "prune", "cite"),
    "ingest-1": ("ingest",),
    "ingest-2": ("ingest",),
}
ASKED_FOR = 40
"""Documents that questions are about, indexed before the first event."""
LOAD_S = 4.0
"""Longest time under load before the event, and longest downtime of a server."""
TAKEN_OVER_S = 90.0
END_S = 600.0
GOOD = ("answered", "insufficient_evidence", "degraded", "retryable")
MODELS_S = {"plan": 0.1, "prune": 0.8, "synthesize": 0.3, "cite": 0.1}
"""Time that each stage's language model takes, so that questions are on workers whenever one is killed."""


class Trial:
    """One event at one moment."""

    def __init__(self, cluster: Cluster, moments: random.Random) -> None:
        self.cluster, self.moments = cluster, moments
        self.killed_at = 0.0
        self.held = 0
        self.taken_over_s: float | None = None

    def run(self, name: str) -> None:
        """Waits under load, lets it happen, and brings it back."""
        time.sleep(self.moments.uniform(0, LOAD_S))
        EVENTS[name](self)

    def prune_worker(self) -> None:
        """SIGKILL of one of two workers of the stages."""
        self._kill(self.moments.choice(("stages-1", "stages-2")))

    def ingest_worker(self) -> None:
        """SIGKILL of one of two ingest workers; how long until nothing is left in its name."""
        name = self.moments.choice(("ingest-1", "ingest-2"))
        part = self.cluster.parts[name]
        assert part.process is not None
        pid = part.process.pid
        self.killed_at = time.monotonic()
        part.kill()
        part.launch()
        self._until_taken_over(pid)
        part.wait_until_ready()

    def api(self) -> None:
        """SIGKILL of the API, which accepts documents and has questions open."""
        self._kill("api")

    def redis(self) -> None:
        """SIGKILL of Redis, and a new start with its append-only file."""
        self._kill("redis", self._pause)

    def postgres(self) -> None:
        """PostgreSQL breaks off every connection, is away, and recovers."""
        self.killed_at = time.monotonic()
        self.cluster.postgres.stop(immediate=True)
        self._pause()
        self.cluster.postgres.start()

    def _kill(self, name: str, meanwhile: Callable[[], None] = lambda: None) -> None:
        self.killed_at = time.monotonic()
        self.cluster.kill(name)
        meanwhile()
        self.cluster.start(name)

    def _pause(self) -> None:
        time.sleep(self.moments.uniform(0, LOAD_S))

    def _until_taken_over(self, pid: int) -> None:
        self.held = len(held_by(self.cluster, pid))
        while self.held and held_by(self.cluster, pid):
            if time.monotonic() - self.killed_at > TAKEN_OVER_S:
                break
            time.sleep(0.05)
        self.taken_over_s = time.monotonic() - self.killed_at if self.held else None


EVENTS: dict[str, Callable[[Trial], None]] = {
    "prune-worker": Trial.prune_worker,
    "ingest-worker": Trial.ingest_worker,
    "api": Trial.api,
    "redis": Trial.redis,
    "postgres": Trial.postgres,
}


def main() -> None:
    """Prints one JSON object an event; exits with 1 when one did not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--event", action="append", choices=list(EVENTS), help="only this one; may be repeated")
    parser.add_argument("--trials", type=int, default=10)
    parser.add_argument("--documents", type=int, default=2000)
    parser.add_argument("--per-second", type=float, default=2.0, help="questions")
    parser.add_argument("--deadline-s", type=float, default=60.0, help="of a question")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--one-host", action="store_true", help="processes see at once that another one is dead")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    results = []
    with Cluster(workers=WORKERS, models=SlowModels(**MODELS_S), own_hosts=not options.one_host) as cluster:
        prepare(cluster)
        for name in options.event or EVENTS:
            results.append(event(cluster, name, options))
            print(json.dumps(results[-1]), flush=True)
    if options.json:
        options.json.write_text(json.dumps({"seed": options.seed, "events": results}, indent=2) + "\n")
    held = all(result["holds"] for result in results)
    print("every event held" if held else "FAILED")
    sys.exit(0 if held else 1)


def prepare(cluster: Cluster) -> None:
    """Indexes what questions are about."""
    documents = [document(number, "asked") for number in range(ASKED_FOR)]
    cluster.client.post("/v1/documents", json={"documents": documents}).raise_for_status()
    wait_for_end(cluster)


def event(cluster: Cluster, name: str, options: argparse.Namespace) -> dict[str, Any]:
    """All trials of one event, and what became of everything."""
    moments = random.Random(f"{options.seed}/{name}")
    again_before = written_again(cluster)
    feeder = Feeder(cluster.connect(), name, lambda: open_documents(cluster), at_least=options.documents)
    began = time.monotonic()
    trials = []
    url, numbers = str(cluster.client.base_url), range(ASKED_FOR)
    with Questions(url, cluster.key, numbers, options.per_second, options.deadline_s, options.seed) as questions:
        feeder.start()
        for _ in range(options.trials):
            trials.append(Trial(cluster, moments))
            trials[-1].run(name)
        feeder.wanted.clear()
        feeder.join()
        wait_for_end(cluster)
    found = account(cluster, feeder.accepted, again_before=again_before)
    endings = Counter(ending(each, options.deadline_s) for each in questions.asked)
    good = (*GOOD, LOST, REFUSED) if name == "api" else GOOD
    questions_hold = all(each.startswith(good) for each in endings)
    return {
        "event": name,
        "trials": options.trials,
        "seconds": round(time.monotonic() - began),
        **found.figures(),
        "submissions_repeated": feeder.refused,
        "questions": len(questions.asked),
        "endings": dict(endings),
        "right": sum(each.right for each in questions.asked),
        "seconds_p50": spread([each.seconds for each in questions.asked])[0],
        "struck_questions": struck(questions, trials),
        "held_at_the_kill": sum(trial.held for trial in trials),
        "taken_over_s": spread([trial.taken_over_s for trial in trials if trial.taken_over_s is not None]),
        "holds": found.holds and questions_hold,
    }


def ending(asked: Asked, deadline_s: float) -> str:
    """How a question ended; one second is for the way there and back."""
    return LATE if asked.seconds > deadline_s + 1 or not asked.ended else asked.ending


def struck(questions: Questions, trials: list[Trial]) -> dict[str, Any]:
    """Of the questions that were under way at a kill: how they ended, and how long after it."""
    pairs = [(each, trial.killed_at) for trial in trials for each in questions.running_at(trial.killed_at)]
    return {
        "number": len(pairs),
        "endings": dict(Counter(each.ending for each, _ in pairs)),
        "seconds_after_the_kill": spread([each.ended - killed_at for each, killed_at in pairs]),
    }


def spread(seconds: list[float]) -> tuple[float, float]:
    """Median and maximum."""
    return (round(statistics.median(seconds), 2), round(max(seconds), 2)) if seconds else (0.0, 0.0)


def wait_for_end(cluster: Cluster) -> None:
    """Until nothing is queued or running.

    Raises:
        TimeoutError: something still is after ten minutes.
    """
    end = time.monotonic() + END_S
    while open_documents(cluster):
        if time.monotonic() > end:
            raise TimeoutError(f"{open_documents(cluster)} documents did not end")
        time.sleep(0.2)


if __name__ == "__main__":
    main()
