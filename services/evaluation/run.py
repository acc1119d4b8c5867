"""One evaluation from its request to its result."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pipelines.core.errors import InvalidRequestError
from pipelines.core.settings import Settings
from services.config import config_version, redacted
from services.evaluation.answers import (
    DEFAULT_QUESTIONS,
    REMOVED_QUESTIONS,
    following,
    measure_abstention,
    measure_answers,
)
from services.evaluation.corpus import Begin, CorpusIndex, corpus_settings
from services.evaluation.provenance import provenance
from services.evaluation.result import AbstentionResult, AnswersResult, IndexFacts, Result, RetrievalResult
from services.evaluation.retrieval import measure_retrieval
from services.evaluation.sets import EvaluationSet, load
from services.runtime import Runtime

SEED = 7


@dataclass(frozen=True, slots=True)
class Request:
    """What to measure.

    Attributes:
        data: The folder that holds the sets.
        limit: Questions, from the first; without it all for retrieval and `DEFAULT_QUESTIONS` for answers.
        work_dir: Where the indexes of corpora are kept; without it `evaluation` in the data folder.
        task: One of the set's tasks; without it all of them.
    """

    set: str
    data: Path
    split: str
    limit: int | None = None
    work_dir: Path | None = None
    task: str | None = None


@dataclass(slots=True)
class _Measured:
    retrieval: RetrievalResult | None = None
    answers: AnswersResult | None = None
    abstention: AbstentionResult | None = None
    durations_s: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def timing(self, part: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.durations_s[part] = round(time.perf_counter() - started, 2)


def evaluate(request: Request, settings: Settings, begin: Begin) -> Result:
    """Indexes the corpus if need be, asks the questions, measures.

    Args:
        begin: Shows the progress of indexing.

    Raises:
        InvalidRequestError: no such set, split or task, or a malformed file.
        ConflictError: another process measures on the same index.
        StrataError: the settings cannot work, or the index could not be used.
    """
    origin = provenance()  # before the work: the code that runs is the code of now
    evaluated = load(request.set, request.data, request.split)
    tasks = _tasks(evaluated, request.task)
    measured = _Measured()
    root = request.work_dir or settings.data_dir / "evaluation"
    with Runtime(corpus_settings(settings, evaluated, root)) as runtime:
        index = CorpusIndex(evaluated, runtime)
        with measured.timing("index"):
            rejected = index.ensure(begin)
        with measured.timing("warm_up"):
            runtime.warm_up()
        facts = IndexFacts(
            documents=evaluated.documents,
            passages=runtime.store.info().passages,
            rejected=rejected,
            corpus_sha256=evaluated.corpus_sha256,
        )
        asyncio.run(_measure(evaluated, request.limit, tasks, runtime, index, begin, measured))
    return Result(
        set=evaluated.name,
        split=evaluated.split,
        limit=request.limit,
        seed=SEED,
        questions=len(evaluated.items),
        skipped=evaluated.skipped,
        index=facts,
        retrieval=measured.retrieval,
        answers=measured.answers,
        abstention=measured.abstention,
        config_version=config_version(settings),
        settings=redacted(settings),
        provenance=origin,
        durations_s=measured.durations_s,
    )


def _tasks(evaluated: EvaluationSet, task: str | None) -> tuple[str, ...]:
    offered = evaluated.adapter.tasks
    if task is None:
        return offered
    if task not in offered:
        raise InvalidRequestError(f"`{evaluated.name}` has no task `{task}`; it has {', '.join(offered)}.")
    return (task,)


async def _measure(
    evaluated: EvaluationSet,
    limit: int | None,
    tasks: tuple[str, ...],
    runtime: Runtime,
    index: CorpusIndex,
    begin: Begin,
    measured: _Measured,
) -> None:
    items = evaluated.items
    try:
        if "retrieval" in tasks:
            with measured.timing("retrieval"):
                measured.retrieval = await measure_retrieval(evaluated, items[:limit], runtime, SEED)
        if "answers" in tasks:
            count = min(limit or DEFAULT_QUESTIONS, len(items))
            with measured.timing("answers"):
                measured.answers = await measure_answers(items[:count], runtime, SEED)
            removed = following(items, count, REMOVED_QUESTIONS)
            with measured.timing("abstention"):
                measured.abstention = await measure_abstention(removed, runtime, index, begin, SEED)
    finally:
        await runtime.aclose()
