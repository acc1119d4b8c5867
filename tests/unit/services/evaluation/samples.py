"""Results made by hand."""

from collections.abc import Mapping, Sequence

from services.evaluation.result import Measure, Plot, Result, ScoredItem, Series, TaskResult
from services.evaluation.tables import figures_of

QUALITY, COST = Measure(name="right"), Measure(name="cost", unit="usd", better="lower")
PROVENANCE = {
    "date": "2026-01-02T03:04:05+00:00",
    "commit": "0123456789abcdef",
    "dirty": False,
    "packages": {"numpy": "2.0"},
    "python": "3.11",
    "machine": {"system": "Linux", "processor": "x86_64", "cpus": 2},
}


def task(scores: Mapping[str, Sequence[tuple[float | None, float]]], *, baselines: tuple[str, ...] = ()) -> TaskResult:
    """A task; `scores` has one `(right, cost)` a question, system by system."""
    items = tuple(
        ScoredItem(id=f"q{number}", system=system, scores={QUALITY.name: right, COST.name: cost})
        for system, of_system in scores.items()
        for number, (right, cost) in enumerate(of_system)
    )
    measures = (QUALITY, COST)
    points = Plot(
        title="Quality <and> cost",
        x_label="USD",
        y_label="right",
        x_unit="usd",
        kind="points",
        series=tuple(Series(name=system, x=(0.001,), y=(0.5,), low=(0.4,), high=(0.6,)) for system in scores),
    )
    curves = Plot(
        title="Curve",
        x_label="tokens",
        y_label="right",
        series=tuple(
            Series(name=system, x=(0.1, 0.5), y=(0.2, 0.9), low=(0.1, 0.8), high=(0.3, 1.0)) for system in scores
        ),
    )
    figures = figures_of(items, measures, seed=7, baselines=baselines)
    return TaskResult(
        task="path",
        about="A sample.",
        figures=figures,
        baselines=baselines,
        measures=measures,
        plots=(points, curves),
        notes=("A note <b>in bold</b>.",),
        items=items,
    )


def result(of: TaskResult, *, name: str = "nq_gold", split: str = "dev") -> Result:
    """A run of one task."""
    return Result(
        set=name,
        split=split,
        limit=None,
        seed=7,
        tasks={of.task: of},
        config_version="abc",
        settings={"models": []},
        provenance=PROVENANCE,
        durations_s={"path": 1.0},
    )
