"""What a second retrieval round finds that the first did not, and whom it talks into an answer.

Usage: python -m benchmarks.rounds SET --data DIR [--split train] [--questions 150] [--every] [--json FILE]

Each question is asked twice by the product's own stages, plan to evidence: over the whole index, and over one that
lacks one of its gold documents. For each the table has what one round found and what two did: the share of the gold
documents among the hits and in the evidence, and the share of questions whose evidence suffices. `--every` searches a
second time for all questions, whether their evidence suffices or not.
"""

import argparse
import asyncio
import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from indexing.identity import document_id
from pipelines.core.deadline import Deadline
from pipelines.core.session import Session
from pipelines.core.settings import Settings
from pipelines.core.tasks import PlanTask
from pipelines.core.types import DEFAULT_TENANT, Evidence, Question
from pipelines.follow import Follower
from pipelines.prune import Pruner
from pipelines.retrieve import Retriever
from services.cli.progress import progress
from services.evaluation.data.corpus import CorpusIndex, corpus_settings
from services.evaluation.data.sets import Item, load
from services.evaluation.measures.abstention import without_gold
from services.evaluation.measures.retrieval import question_of
from services.evaluation.provenance import provenance
from services.runtime import Runtime

ROUNDS = 2
Row = dict[str, float]


class Asking:
    """The stages from plan to evidence."""

    def __init__(self, runtime: Runtime, *, every: bool) -> None:
        settings, self._every = runtime.settings, every
        self._deadline_s = settings.answer.deadline_s
        self._plan = runtime.runner.plan
        self._retrieve = Retriever(runtime.store, runtime.encoder, settings.retrieve)
        self._prune = Pruner(runtime.runner)
        further = settings.retrieve.model_copy(update={"rounds": ROUNDS})
        self._follow = Follower(runtime.store, runtime.encoder, runtime.runner, further)

    async def ask(self, question: Question, gold: tuple[str, ...]) -> Row:
        """Figures of one question."""
        session = Session(Deadline.after(self._deadline_s))
        task = PlanTask(question=question, timeout_s=self._deadline_s)
        plan = (await self._plan(task)).plan
        standalone = plan.standalone
        started = time.perf_counter()
        hits = (await self._retrieve.run_async(question=question, plan=plan, session=session))["hits"]
        first = (await self._prune.run_async(question, standalone, hits, session))["evidence"]
        between = time.perf_counter()
        stages = len(session.receipt().stages)
        given = first.model_copy(update={"sufficient": first.sufficient and not self._every})
        second = (await self._follow.run_async(question, standalone, hits, given, session))["evidence"]
        pruned_again = len(session.receipt().stages) > stages + 1
        if not pruned_again:
            second = first
        return {
            **{f"{name} 1": value for name, value in _figures(first, gold).items()},
            **{f"{name} 2": value for name, value in _figures(second, gold).items()},
            "searched again": float(len(session.receipt().stages) > stages),
            "pruned again": float(pruned_again),
            "ms 1": (between - started) * 1000,
            "ms more": (time.perf_counter() - between) * 1000,
        }


def _figures(evidence: Evidence, gold: tuple[str, ...]) -> Row:
    ids = {document_id(DEFAULT_TENANT, each) for each in gold}
    found = {fate.document_id for fate in evidence.fates} & ids
    kept = {item.passage.document_id for item in evidence.items} & ids
    return {
        "gold found": len(found) / len(ids),
        "gold in evidence": len(kept) / len(ids),
        "sufficient": float(evidence.sufficient),
    }


async def measure(asking: Asking, items: list[Item], corpus: list[str]) -> dict[str, Row]:
    """Means over the questions, with all documents and without one of the gold ones."""
    whole = [await asking.ask(question_of(item), item.gold) for item in items]
    parted = [
        await asking.ask(
            Question(text=item.question, filter=without_gold(replace(item, gold=item.gold[-1:]), corpus)), item.gold
        )
        for item in items
    ]
    return {
        arm: {name: round(float(np.mean([row[name] for row in rows])), 4) for name in rows[0]}
        for arm, rows in (("whole index", whole), ("without a gold document", parted))
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("set", help="such as multihop_wiki or nq_gold")
    parser.add_argument("--data", type=Path, required=True, help="folder that holds the sets")
    parser.add_argument("--split", default="train")
    parser.add_argument("--questions", type=int, default=150, help="the first ones")
    parser.add_argument("--every", action="store_true", help="a second round for all questions")
    parser.add_argument("--work-dir", type=Path, default=Path(".strata/evaluation"), help="where the index is kept")
    parser.add_argument("--json", type=Path, help="where to write the result")
    arguments = parser.parse_args()

    evaluated = load(arguments.set, arguments.data, arguments.split)
    with Runtime(corpus_settings(Settings(), evaluated, arguments.work_dir)) as runtime:
        CorpusIndex(evaluated, runtime).ensure(progress)
        corpus = [document.id for document in evaluated.corpus()]
        items = list(evaluated.items[: arguments.questions])
        result = asyncio.run(measure(Asking(runtime, every=arguments.every), items, corpus))
    print(json.dumps({"questions": len(items), **result}, indent=2))
    if arguments.json:
        text = json.dumps({"questions": len(items), **result, "provenance": provenance()}, indent=2)
        arguments.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
