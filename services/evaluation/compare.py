"""Two results on the same questions, question by question."""

from collections.abc import Sequence

from pipelines.core.errors import InvalidRequestError
from pipelines.core.types import Value
from services.evaluation.result import Measure, Result, ScoredItem, TaskResult
from services.evaluation.statistics import Interval, mean, paired_interval


class Difference(Value):
    """One measure of one system, the second result less the first, over the questions that both have scored.

    Attributes:
        interval: 95 % bootstrap interval of the difference of the means.
        wins, ties, losses: Questions on which the second is better, the same, worse; higher is better unless the
            measure says otherwise.
    """

    task: str
    system: str
    measure: Measure
    n: int
    first: float
    second: float
    difference: float
    interval: Interval
    wins: int
    ties: int
    losses: int

    @property
    def verdict(self) -> str:
        """`better` or `worse` where the interval leaves out 0, else nothing."""
        low, high = self.interval
        if low <= 0 <= high or not self.measure.better:
            return ""
        return "better" if (low > 0) == (self.measure.better == "higher") else "worse"


def compare(first: Result, second: Result) -> tuple[Difference, ...]:
    """Differences of all tasks, systems and measures that are means over questions; those that differ nowhere left out.

    Raises:
        InvalidRequestError: the results are of another set, split or corpus, or share no scored question.
    """
    if (first.set, first.split) != (second.set, second.split):
        one, other = (f"{each.set} {each.split}" for each in (first, second))
        raise InvalidRequestError(f"The results are not of the same questions: {one} and {other}.")
    if first.index and second.index and first.index.corpus_sha256 != second.index.corpus_sha256:
        raise InvalidRequestError("The results are of two different states of the corpus.")
    shared = [name for name in first.tasks if name in second.tasks]
    pairs = {
        name: found
        for name in shared
        if (found := _of_task(first.tasks[name], second.tasks[name], first.seed)) is not None
    }
    if not pairs:
        raise InvalidRequestError("The results share no scored question.")
    return tuple(each for found in pairs.values() for each in found if each.wins or each.losses)


def _of_task(first: TaskResult, second: TaskResult, seed: int) -> list[Difference] | None:
    """`None` where no question is scored in both."""
    before, after = _by_system(first.items), _by_system(second.items)
    found: list[Difference] | None = None
    for system in before:
        for measure in second.measures:
            if measure.name.startswith(("p50", "p95")):
                continue  # a percentile is no mean over questions
            pairs = [
                (one, other)
                for id, item in before[system].items()
                if (one := item.scores.get(measure.name)) is not None
                and id in after.get(system, {})
                and (other := after[system][id].scores.get(measure.name)) is not None
            ]
            if pairs:
                found = [*(found or []), _difference(second.task, system, measure, pairs, seed)]
    return found


def _by_system(items: Sequence[ScoredItem]) -> dict[str, dict[str, ScoredItem]]:
    systems: dict[str, dict[str, ScoredItem]] = {}
    for item in items:
        systems.setdefault(item.system, {})[item.id] = item
    return systems


def _difference(
    task: str, system: str, measure: Measure, pairs: Sequence[tuple[float, float]], seed: int
) -> Difference:
    first, second = [one for one, _ in pairs], [other for _, other in pairs]
    paired = paired_interval(second, first, seed)
    wins, losses = paired.wins or 0, paired.losses or 0
    if measure.better == "lower":
        wins, losses = losses, wins
    return Difference(
        task=task,
        system=system,
        measure=measure,
        n=len(pairs),
        first=mean(first),
        second=mean(second),
        difference=paired.difference,
        interval=paired.interval,
        wins=wins,
        ties=paired.ties or 0,
        losses=losses,
    )
