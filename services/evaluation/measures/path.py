"""The whole question path beside uniform arms: what quality costs."""

from collections.abc import Sequence

from pipelines.core.text import content_words
from services.evaluation.context import Context
from services.evaluation.measures.answers import ask, failures
from services.evaluation.measures.arms import LARGE, SMALL, Arm, Spent, Tiers, build_arms, described
from services.evaluation.measures.scoring import CONTAINS, COST, P50, QUALITY, ROUGE, Outcome, score
from services.evaluation.metrics import contains_answer
from services.evaluation.result import Measure, Plot, ScoredItem, Series, TaskResult
from services.evaluation.tables import figures_of

DEFAULT_QUESTIONS = 100
SEEN, WORDS_SEEN = "gold answer seen by the writer", "gold words seen by the writer"
LARGE_CALLS, LARGE_IN, LARGE_OUT = "large calls", "large tokens in", "large tokens out"
SMALL_CALLS, SMALL_IN, SMALL_OUT = "small calls", "small tokens in", "small tokens out"

MEASURES = (
    *QUALITY,
    Measure(name=SEEN),
    Measure(name=WORDS_SEEN),
    Measure(name=LARGE_CALLS, unit="number", better="lower", headline=False),
    Measure(name=LARGE_IN, unit="tokens", better="lower"),
    Measure(name=LARGE_OUT, unit="tokens", better="lower", headline=False),
    Measure(name=SMALL_CALLS, unit="number", better="lower", headline=False),
    Measure(name=SMALL_IN, unit="tokens", better="lower", headline=False),
    Measure(name=SMALL_OUT, unit="tokens", better="lower", headline=False),
    Measure(name=COST, unit="usd", better="lower"),
    Measure(name=P50, unit="ms", better="lower"),
)


async def measure_path(context: Context) -> TaskResult:
    """Asks every question of every arm in turn, over the same index."""
    runtime, adapter = context.runtime, context.evaluated.adapter
    tiers = Tiers.of(runtime)
    arms = build_arms(runtime, tiers)
    outcomes: list[Outcome] = []
    scored: list[ScoredItem] = []
    for item in context.questions(DEFAULT_QUESTIONS):
        for arm in arms:
            arm.writer.forget()
            (outcome,) = await ask([item], runtime, arm.pipeline)
            outcomes.append(outcome)
            of_quality = score(outcome, arm.name, runtime.blobs.read_span, short_answers=adapter.short_answers)
            scored.append(_with_spent(of_quality, outcome, arm.spent(outcome.answer), tiers, adapter.short_answers))
    measured = {name for item in scored for name, value in item.scores.items() if value is not None}
    measures = tuple(measure for measure in MEASURES if measure.name in measured)
    figures = figures_of(scored, measures, baselines=[LARGE], seed=context.seed)
    result = TaskResult(
        task="path",
        about="The whole path beside its uniform arms: quality and what it costs, a question.",
        baselines=(LARGE, SMALL),
        measures=measures,
        figures=figures,
        notes=(*described(runtime.settings, tiers), *failures(outcomes)),
        items=tuple(scored),
    )
    quality = CONTAINS if CONTAINS in measured else ROUGE
    return result.model_copy(update={"plots": _plots(result, arms, quality)})


def _with_spent(scored: ScoredItem, outcome: Outcome, spent: Spent, tiers: Tiers, short_answers: bool) -> ScoredItem:
    answers, judged = outcome.item.answers, scored.scores.get(ROUGE) is not None
    scores = {
        **scored.scores,
        SEEN: float(contains_answer(spent.seen, answers)) if judged and short_answers else None,
        WORDS_SEEN: words_seen(spent.seen, answers) if judged else None,
        LARGE_CALLS: spent.large_calls,
        LARGE_IN: spent.large_in,
        LARGE_OUT: spent.large_out,
        SMALL_CALLS: spent.small_calls,
        SMALL_IN: spent.small_in,
        SMALL_OUT: spent.small_out,
        COST: spent.cost_usd(tiers),
    }
    names = {measure.name for measure in MEASURES}
    return scored.model_copy(update={"scores": {name: value for name, value in scores.items() if name in names}})


def words_seen(seen: str, answers: Sequence[str]) -> float:
    """The largest share of a gold answer's content words that stand in what the writer was given, 0 to 1."""
    held = set(content_words(seen))
    shares = [len(held & words) / len(words) for answer in answers if (words := set(content_words(answer)))]
    return max(shares, default=0.0)


def _plots(result: TaskResult, arms: Sequence[Arm], quality: str) -> tuple[Plot, ...]:
    def points(x: str, y: str) -> tuple[Series, ...]:
        series = []
        for arm in arms:
            across, up = result.figure(arm.name, x), result.figure(arm.name, y)
            if across.value is not None and up.value is not None:
                low, high = up.interval or (up.value, up.value)
                series.append(Series(name=arm.name, x=(across.value,), y=(up.value,), low=(low,), high=(high,)))
        return tuple(series)

    return (
        Plot(
            title="Quality and cost a question",
            x_label="USD a question",
            y_label=quality,
            x_unit="usd",
            kind="points",
            series=points(COST, quality),
        ),
        Plot(
            title="What the writer is given",
            x_label="tokens to the large model, a question",
            y_label=WORDS_SEEN,
            x_unit="tokens",
            kind="points",
            series=points(LARGE_IN, WORDS_SEEN),
        ),
    )
