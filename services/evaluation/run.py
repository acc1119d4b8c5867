"""One evaluation from its request to its result."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pipelines.core.settings import Settings
from services.config import config_version, redacted
from services.evaluation.context import Context
from services.evaluation.data.corpus import Begin, CorpusIndex, corpus_settings
from services.evaluation.data.sets import load
from services.evaluation.provenance import provenance
from services.evaluation.result import IndexFacts, Result, TaskResult
from services.evaluation.tasks import Task, tasks_of
from services.runtime import Runtime

SEED = 7


@dataclass(frozen=True, slots=True)
class Request:
    """What to measure.

    Attributes:
        data: The folder that holds the sets.
        limit: Questions, claims or files, from the first; without it as many as each task takes.
        work_dir: Where the indexes of corpora are kept; without it `evaluation` in the data folder.
        task: One of the set's tasks; without it all of them.
    """

    set: str
    data: Path
    split: str
    limit: int | None = None
    work_dir: Path | None = None
    task: str | None = None


class _Durations(dict[str, float]):
    @contextmanager
    def timing(self, part: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self[part] = round(time.perf_counter() - started, 2)


def evaluate(request: Request, settings: Settings, begin: Begin) -> Result:
    """Indexes the corpus if need be, runs the tasks.

    Args:
        begin: Shows the progress of indexing.

    Raises:
        InvalidRequestError: no such set, split or task, or a malformed file.
        ConflictError: another process measures on the same index.
        StrataError: the settings cannot work, or the index could not be used.
    """
    origin = provenance()  # before the work: the code that runs is the code of now
    evaluated = load(request.set, request.data, request.split)
    tasks = tasks_of(request.set, request.task)
    durations = _Durations()
    root = request.work_dir or settings.data_dir / "evaluation"
    with Runtime(corpus_settings(settings, evaluated, root)) as runtime:
        context = Context(evaluated, runtime, CorpusIndex(evaluated, runtime), SEED, request.limit, begin)
        facts = _index(context, durations) if any(task.needs_index for task in tasks) else None
        results = asyncio.run(_measure(tasks, context, durations))
    return Result(
        set=evaluated.name,
        split=evaluated.split,
        limit=request.limit,
        seed=SEED,
        index=facts,
        tasks=results,
        config_version=config_version(settings),
        settings=redacted(settings),
        provenance=origin,
        durations_s=durations,
    )


def _index(context: Context, durations: _Durations) -> IndexFacts:
    evaluated, runtime = context.evaluated, context.runtime
    with durations.timing("index"):
        rejected = context.index.ensure(context.begin)
    with durations.timing("warm_up"):
        runtime.warm_up()
    return IndexFacts(
        documents=evaluated.documents,
        passages=runtime.store.info().passages,
        rejected=rejected,
        corpus_sha256=evaluated.corpus_sha256,
    )


async def _measure(tasks: Sequence[Task], context: Context, durations: _Durations) -> dict[str, TaskResult]:
    results = {}
    try:
        for task in tasks:
            with durations.timing(task.name):
                results[task.name] = await task.measure(context)
    finally:
        await context.runtime.aclose()
    return results
