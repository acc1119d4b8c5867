"""What a run gives, as it is written to a file: the same form for every task, so that one page shows them all."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from pipelines.core.types import Value
from services.evaluation.figures import ALL, Figure

Unit = Literal["share", "number", "ms", "tokens", "usd", "count"]


class Measure(Value):
    """How the figures of one measure are shown.

    Attributes:
        unit: `share` lies between 0 and 1; `number` is anything else without a unit.
        better: Which way is better; empty where neither is.
        headline: Whether a reader in a hurry is to see it.
    """

    name: str
    unit: Unit = "share"
    better: Literal["higher", "lower", ""] = "higher"
    headline: bool = True


class Series(Value):
    """A curve of a plot, or points. `low` and `high` bound its band where there is one; all are as long as `x`."""

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()


class Plot(Value):
    """Curves over one pair of axes."""

    title: str
    x_label: str
    y_label: str
    x_unit: Unit = "share"
    y_unit: Unit = "share"
    kind: Literal["line", "points"] = "line"
    series: tuple[Series, ...]


class ScoredItem(Value):
    """What one system scored on one question, by the name of the measure. Paired comparisons are made of these."""

    id: str
    system: str
    group: str = ""
    scores: Mapping[str, float | None]
    detail: Mapping[str, Any] = {}


class TaskResult(Value):
    """One task on one set.

    Attributes:
        about: One sentence: what was measured.
        baselines: The systems that are not the product, but what it is measured beside.
        measures: How the figures are shown, in the order of the table; those not named follow.
        notes: What a reader must know to read the figures rightly.
        items: What the table was computed from.
    """

    task: str
    about: str
    figures: tuple[Figure, ...]
    baselines: tuple[str, ...] = ()
    measures: tuple[Measure, ...] = ()
    plots: tuple[Plot, ...] = ()
    notes: tuple[str, ...] = ()
    items: tuple[ScoredItem, ...] = Field(default=(), repr=False)

    def figure(self, system: str, measure: str, group: str = ALL) -> Figure:
        """One figure.

        Raises:
            KeyError: there is none.
        """
        for each in self.figures:
            if (each.system, each.measure, each.group) == (system, measure, group):
                return each
        raise KeyError((system, measure, group))

    def measure(self, name: str) -> Measure:
        """How to show a measure; a share of which more is better unless the task says otherwise."""
        return next((each for each in self.measures if each.name == name), Measure(name=name))


class IndexFacts(Value):
    """The corpus as it was indexed; `rejected` documents could not be, and nothing finds them."""

    documents: int
    passages: int
    rejected: tuple[str, ...]
    corpus_sha256: str


class Result(Value):
    """One run.

    Attributes:
        items: Questions, claims or files of the split.
        index: `None` where no task needed the corpus.
        tasks: By name, in the order in which they ran.
        config_version: Names `settings`, which are the effective ones, secrets masked.
        durations_s: Seconds a part took.
    """

    set: str
    split: str
    limit: int | None
    seed: int
    index: IndexFacts | None = None
    tasks: Mapping[str, TaskResult]
    config_version: str
    settings: dict[str, Any]
    provenance: dict[str, Any]
    durations_s: dict[str, float]
