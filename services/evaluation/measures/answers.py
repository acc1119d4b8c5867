"""Answers through the whole real question path."""

from collections import Counter
from collections.abc import Sequence

from haystack import Pipeline

from pipelines.answer import answer
from pipelines.core.errors import StrataError
from services.evaluation.context import Context
from services.evaluation.data.sets import Item
from services.evaluation.measures.retrieval import question_of
from services.evaluation.measures.scoring import MEASURES, Outcome, score
from services.evaluation.result import Measure, TaskResult
from services.evaluation.tables import figures_of
from services.runtime import Runtime

DEFAULT_QUESTIONS = 200
REMOVED_QUESTIONS = 100
STRATA = "strata"


async def measure_answers(context: Context) -> TaskResult:
    """Asks the questions while the whole corpus is in the index."""
    runtime, adapter = context.runtime, context.evaluated.adapter
    outcomes = await ask(context.questions(DEFAULT_QUESTIONS), runtime, runtime.answer_pipeline)
    scored = [score(each, STRATA, runtime.blobs.read_span, short_answers=adapter.short_answers) for each in outcomes]
    measured = {name for item in scored for name, value in item.scores.items() if value is not None}
    measures = tuple(measure for measure in MEASURES if measure.name in measured)
    return TaskResult(
        task="answers",
        about="What answers hold, whether their citations can be checked, and what they take.",
        measures=measures,
        figures=figures_of(scored, measures, seed=context.seed),
        notes=(written_by(runtime), *failures(outcomes)),
        items=tuple(scored),
    )


async def measure_removal(context: Context) -> TaskResult:
    """Asks questions while their gold documents are out of the index, and puts them back."""
    taken = len(context.items(DEFAULT_QUESTIONS))
    items = following(context.evaluated.items, taken, REMOVED_QUESTIONS)
    context.index.remove({gold for item in items for gold in item.gold})
    try:
        outcomes = await ask(items, context.runtime, context.runtime.answer_pipeline)
    finally:
        context.index.ensure(context.begin)
    measures = (Measure(name="abstained"), Measure(name="answered right all the same", better=""))
    scored = tuple(
        score(each, STRATA, context.runtime.blobs.read_span, short_answers=True).model_copy(
            update={"scores": {"abstained": float(each.abstained), "answered right all the same": float(each.right)}}
        )
        for each in outcomes
    )
    return TaskResult(
        task="removal",
        about="Questions whose gold documents are out of the index: they are to be refused.",
        measures=measures,
        figures=figures_of(scored, measures, seed=context.seed),
        notes=failures(outcomes),
        items=scored,
    )


def following(items: Sequence[Item], start: int, count: int) -> list[Item]:
    """`count` items from `start` on, from the first again after the last; never one twice."""
    return [items[(start + offset) % len(items)] for offset in range(min(count, len(items)))]


async def ask(items: Sequence[Item], runtime: Runtime, pipeline: Pipeline) -> list[Outcome]:
    """One question after the other; an error ends its question, not the run."""
    outcomes: list[Outcome] = []
    for item in items:
        question = question_of(item, history=True)
        try:
            runtime.asking.check(question)
            given = await answer(pipeline, question, deadline_s=runtime.settings.answer.deadline_s)
        except StrataError as error:
            outcomes.append(Outcome(item, error=error.code))
        else:
            outcomes.append(Outcome(item, given))
    return outcomes


def written_by(runtime: Runtime) -> str:
    """Says which model wrote the answers, or that none did."""
    model = runtime.stages.model_of("synthesize")
    if model is None:
        return "No language model is configured: answers are sentences of the documents, quoted as they stand."
    entry = next(each for each in runtime.settings.models if each.model_name == model)
    return f"Answers were written by `{model}` ({entry.litellm_params.model})."


def failures(outcomes: Sequence[Outcome]) -> tuple[str, ...]:
    """Says how many questions ended in an error, by its code."""
    counted = Counter(each.error for each in outcomes if each.error)
    return tuple(f"{count} questions ended in the error `{code}`." for code, count in counted.items())
