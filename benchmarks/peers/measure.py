"""The runs: every system over the same chunks, question by question in turns, and indexing in turns."""

import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.peers.judge import Judged, judge
from benchmarks.peers.model import Model
from benchmarks.peers.process import KINDS, SystemFailedError, SystemProcess
from benchmarks.peers.questions import Task
from benchmarks.peers.systems.base import Chunk
from benchmarks.peers.writer import Writer

WARM_UP = 3
"""Questions that each system answers before the clock counts."""


@dataclass
class Standing:
    """What is known of one system.

    Attributes:
        failed: Why it has no figures; empty where it has.
        asked: Set → a figure a question, in their order.
        rates: Encoder (`real` or `none`) → documents a second, one a round.
    """

    label: str
    failed: str = ""
    about: dict[str, Any] = field(default_factory=dict)
    asked: dict[str, list[Judged]] = field(default_factory=dict)
    rates: dict[str, list[float]] = field(default_factory=dict)


@dataclass
class Bench:
    """The systems that run, and what was found of them."""

    model: Model
    encoder: Path
    top_k: int
    work: Path
    environments: Path
    standings: dict[str, Standing]
    processes: dict[str, SystemProcess] = field(default_factory=dict)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Starts all systems; one that cannot be started is noted and left out."""
        with ExitStack() as stack:
            for name in self.standings:
                with self._noting(name):
                    log = stack.enter_context((self.work / f"{name}.log").open("wb"))
                    process = stack.enter_context(SystemProcess(KINDS[name], self.environments, log))
                    folder = self.work / name
                    folder.mkdir(exist_ok=True)
                    process.do(
                        "open",
                        api_base=self.model.url,
                        encoder=str(self.encoder),
                        top_k=self.top_k,
                        work=str(folder),
                    )
                    self.processes[name] = process
                    say(f"{name}: started")
            yield
            for name in self.running_names:
                with self._noting(name):
                    self.standings[name].about = self.processes[name].do("about")

    @property
    def running_names(self) -> list[str]:
        """The systems that have not failed."""
        return [name for name in self.processes if not self.standings[name].failed]

    @contextmanager
    def _noting(self, name: str) -> Iterator[None]:
        try:
            yield
        except SystemFailedError as error:
            self.standings[name].failed = str(error)
            say(f"{name}: {error}")

    def ask(self, task: Task, writer: Writer) -> None:
        """All questions of a task by all systems, which take turns; who begins changes from question to question."""
        self.model.writes_as(writer)
        path = self._written(task.chunks, f"{task.name}.jsonl")
        for name in self.running_names:
            with self._noting(name):
                kept = self.work / f"vectors-{KINDS[name].vectors}.npz"
                self.processes[name].do("empty")
                added = self.processes[name].do("add", chunks=str(path), encoder="kept", kept=str(kept))
                say(f"{name}: {task.name} indexed, {added['chunks']} passages in {added['seconds']:.0f} s")
        chunks = {chunk.id: chunk for chunk in task.chunks}
        for question in task.questions[:WARM_UP]:
            for name in self.running_names:
                with self._noting(name):
                    self.processes[name].do("ask", question=question.text)
        for number, question in enumerate(task.questions):
            names = self.running_names
            for name in names[number % len(names) :] + names[: number % len(names)]:
                with self._noting(name):
                    self.model.taken()
                    reply = self.processes[name].do("ask", question=question.text)
                    judged = judge(question, reply, self.model.taken(), chunks)
                    self.standings[name].asked.setdefault(task.name, []).append(judged)
            if number % 10 == 9:
                say(f"{task.name}: {number + 1} questions")

    def index(self, chunks: tuple[Chunk, ...], rounds: int) -> None:
        """Indexes the same chunks again and again, with the encoder and with one that does nothing, in turns."""
        few, all_of_them = self._written(chunks[:2], "few.jsonl"), self._written(chunks[2:], "round.jsonl")
        for number in range(rounds):
            names = self.running_names
            for encoder in ("none", "real"):
                for name in names[number % len(names) :] + names[: number % len(names)]:
                    with self._noting(name):
                        self.processes[name].do("empty")
                        self.processes[name].do("add", chunks=str(few), encoder=encoder)
                        added = self.processes[name].do("add", chunks=str(all_of_them), encoder=encoder)
                        rate = added["chunks"] / added["seconds"]
                        self.standings[name].rates.setdefault(encoder, []).append(rate)
            say(f"indexing: round {number + 1} of {rounds}")

    def _written(self, chunks: tuple[Chunk, ...], name: str) -> Path:
        path = self.work / name
        lines = (json.dumps({"id": each.id, "title": each.title, "text": each.text}) for each in chunks)
        path.write_text("".join(f"{line}\n" for line in lines), "utf-8")
        return path


def say(line: str) -> None:
    """Tells of progress."""
    print(line, file=sys.stderr, flush=True)
