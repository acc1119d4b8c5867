"""Whether the wording of a question tells which model it needs: the controls that a router has to beat, and another.

On answers of two models to exam questions. It shows why routing is off until it beats the controls on one's own logs.
"""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipelines.core.errors import InvalidRequestError
from services.evaluation.baselines import Scores, words
from services.evaluation.context import Context
from services.evaluation.data.rows import RoutingRow, read
from services.evaluation.figures import statistic_figures
from services.evaluation.metrics.apgr import apgr
from services.evaluation.result import Measure, ScoredItem, TaskResult
from services.evaluation.statistics import Statistic

CHANCE, LENGTH, SUBJECT = "at random", "prompt length", "subject prior"
NEIGHBOURS, UNSEEN = "words of the prompt", "words of the prompt, subject unseen"
BASELINES = (CHANCE, LENGTH, SUBJECT)
APGR = "APGR"

PRIOR = 20.0
"""Questions of the mean that a word's or a subject's own are mixed with."""


async def measure_routing(context: Context) -> TaskResult:
    """Scores every prompt with controls and with a naive router that was trained on the training part."""
    rows = [row for row in context.rows("routing", RoutingRow) if not row.contaminated]
    trained = [
        row for row in read(context.evaluated.folder / "train" / "routing.jsonl.gz", RoutingRow) if not row.contaminated
    ]
    if context.evaluated.split == "train":
        raise InvalidRequestError("The training part of `routing` trains its routers: measure on another.")
    small, large = (np.array([getattr(row, name) for row in rows], bool) for name in ("small_correct", "large_correct"))
    scores = {
        CHANCE: np.zeros(len(rows)),
        LENGTH: np.array([len(row.prompt) for row in rows], np.float64),
        SUBJECT: _by_subject(rows, trained),
        NEIGHBOURS: _by_words(rows, trained, unseen=False),
        UNSEEN: _by_words(rows, trained, unseen=True),
    }
    statistics = {name: _statistic(each, small, large) for name, each in scores.items()}
    return TaskResult(
        task="routing",
        about="Share of the large model's lead that routing keeps, averaged over the share of questions it gets.",
        measures=(Measure(name=APGR),),
        figures=statistic_figures(APGR, statistics, len(rows), baselines=BASELINES, seed=context.seed),
        notes=(
            f"Right: small model {small.mean():.3f}, large {large.mean():.3f}. Routing at random has an APGR of 0.5.",
        ),
        items=tuple(
            ScoredItem(id=row.id, system=name, scores={"score": float(score)})
            for name, each in scores.items()
            for row, score in zip(rows, each, strict=True)
        ),
    )


def _gain(row: RoutingRow) -> float:
    return float(row.large_correct) - float(row.small_correct)


def _by_subject(rows: Sequence[RoutingRow], trained: Sequence[RoutingRow]) -> Scores:
    """The large model's lead in the subject of the prompt."""
    gains: dict[str, list[float]] = defaultdict(list)
    for row in trained:
        gains[row.task].append(_gain(row))
    overall = float(np.mean([_gain(row) for row in trained]))
    means = {task: (sum(each) + PRIOR * overall) / (len(each) + PRIOR) for task, each in gains.items()}
    return np.array([means.get(row.task, overall) for row in rows])


def _by_words(rows: Sequence[RoutingRow], trained: Sequence[RoutingRow], *, unseen: bool) -> Scores:
    """The large model's lead on prompts with a word of this one, averaged over its words.

    Args:
        unseen: Prompts of its own subject are left out.
    """
    tables: dict[str, _Leads] = defaultdict(_Leads)
    everything = _Leads()
    for row in trained:
        for leads in (everything, tables[row.task]):
            leads.add(row)

    def lead(row: RoutingRow) -> float:
        own = tables[row.task] if unseen else _Leads()
        n = everything.n - own.n
        overall = (everything.sum - own.sum) / n if n else 0.0
        found = [
            (everything.gains[word] - own.gains[word] + PRIOR * overall)
            / (everything.counts[word] - own.counts[word] + PRIOR)
            for word in sorted(set(words(row.prompt)))
        ]
        return float(np.mean(found)) if found else overall

    return np.array([lead(row) for row in rows])


class _Leads:
    """The large model's lead on prompts with each word."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = defaultdict(int)
        self.gains: dict[str, float] = defaultdict(float)
        self.n, self.sum = 0, 0.0

    def add(self, row: RoutingRow) -> None:
        self.n += 1
        self.sum += _gain(row)
        for word in set(words(row.prompt)):
            self.counts[word] += 1
            self.gains[word] += _gain(row)


def _statistic(scores: Scores, small: NDArray[np.bool_], large: NDArray[np.bool_]) -> Statistic:
    return lambda places: apgr(scores[places], small[places], large[places])
