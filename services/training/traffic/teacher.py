"""A large tier as teacher: it does recorded tasks again, with the stage's own prompt and schema."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from pydantic import BaseModel, ValidationError

from pipelines.cite import Bindings, binding_prompt, list_sources, read_claims
from pipelines.core.deadline import Deadline
from pipelines.core.errors import CostLimitError, ModelError
from pipelines.core.models import Completion, Message, ModelTiers
from pipelines.core.settings import Settings
from pipelines.core.state import TeacherLabel, Trace, TraceFilter, Traces
from pipelines.core.tasks import CiteTask, PlanTask, PruneTask
from pipelines.core.types import Usage
from pipelines.plan import Rewrite, rewrite_prompt
from pipelines.prune import Selection, selection_prompt

REPLIES: dict[str, type[BaseModel]] = {"plan": Rewrite, "prune": Selection, "cite": Bindings}
"""What a model replies in each stage."""
TIMEOUT_S = 120.0
"""Bound on one label, further tries included: nobody waits for an answer."""
MAX_FAILURES = 5
"""So many failures in a row, and the teacher is given up: something is wrong with it, and each may cost."""


def prompt_of(trace: Trace, settings: Settings) -> list[Message]:
    """What the stage's model is asked for a recorded task.

    Raises:
        ValidationError: the record is of another version of Strata, whose tasks were different.
    """
    if trace.stage == "plan":
        return rewrite_prompt(PlanTask.model_validate(trace.task).question, settings.plan)
    if trace.stage == "prune":
        return selection_prompt(PruneTask.model_validate(trace.task))
    task = CiteTask.model_validate(trace.task)
    return binding_prompt(read_claims(task.draft.text), list_sources(task.evidence))


def has_question_for_a_model(trace: Trace) -> bool:
    """Whether there is anything to be learnt of it: an empty search or draft has nothing to choose from."""
    if trace.stage == "prune":
        return bool(trace.task["hits"])
    return trace.stage == "plan" or bool(trace.task["evidence"]["items"] and trace.task["draft"]["text"])


@dataclass(slots=True)
class Labelling:
    """How a run went.

    Attributes:
        failed: Records on which the teacher failed; the next run tries them again.
        usage: Of all calls, failed ones included.
        ended: Why it ended before its time; empty where it did not.
    """

    labelled: int = 0
    failed: int = 0
    usage: Usage = field(default_factory=Usage)
    ended: str = ""


class Teacher:
    """Labels records. Each label is kept as it comes, so that a run that is killed loses the calls under way at most.

    Args:
        tier: The entry of `models` that teaches.
        concurrency: Calls at a time.
    """

    def __init__(self, settings: Settings, tiers: ModelTiers, traces: Traces, tier: str, *, concurrency: int) -> None:
        self._settings, self._tiers, self._traces = settings, tiers, traces
        self._tier, self._concurrency = tier, concurrency

    async def run(
        self,
        which: TraceFilter,
        *,
        max_cost_usd: float | None = None,
        limit: int | None = None,
        told: Callable[[Labelling], None] = lambda _: None,
    ) -> Labelling:
        """Labels what this teacher has not labelled yet, some at a time.

        Args:
            max_cost_usd: No call is made that may cost more than what is left of it.
            limit: Most records.
            told: Hears how far it is.

        Raises:
            ConfigurationError: the tier is none that can be called.
        """
        run, in_a_row = Labelling(), 0
        todo = islice(filter(has_question_for_a_model, self._traces.unlabelled(which, self._tier)), limit)
        while some := await asyncio.to_thread(lambda: list(islice(todo, self._concurrency))):
            for outcome in await self._label(some, max_cost_usd, run):
                in_a_row = 0 if outcome is None else in_a_row + 1
                if isinstance(outcome, CostLimitError):
                    run.ended = outcome.detail
                elif outcome is not None and in_a_row >= MAX_FAILURES:
                    run.ended = f"{MAX_FAILURES} failures in a row; the last: {outcome.detail}"
            told(run)
            if run.ended:
                break
        return run

    async def _label(self, some: list[Trace], max_cost_usd: float | None, run: Labelling) -> list[ModelError | None]:
        """Labels some records at the same time, each with its part of what is left; where that is too little, alone."""
        part_usd = _share(max_cost_usd, run, len(some))
        outcomes = await asyncio.gather(*(self._one(trace, part_usd, run) for trace in some))
        poor = [at for at, outcome in enumerate(outcomes) if isinstance(outcome, CostLimitError)]
        if len(some) > 1:
            for at in poor:
                outcomes[at] = await self._one(some[at], _share(max_cost_usd, run, 1), run)
                if isinstance(outcomes[at], CostLimitError):
                    break
        return outcomes

    async def _one(self, trace: Trace, left_usd: float | None, run: Labelling) -> ModelError | None:
        try:
            found: Completion[Any] = await self._tiers.complete(
                self._tier,
                prompt_of(trace, self._settings),
                REPLIES[trace.stage],
                deadline=Deadline.after(TIMEOUT_S),
                cost_left_usd=left_usd,
            )
        except ValidationError:  # another version of Strata wrote it
            run.failed += 1
            return None
        except ModelError as error:
            run.usage += error.usage or Usage()
            run.failed += not isinstance(error, CostLimitError)
            return error
        run.usage += found.usage
        label = TeacherLabel(
            tier=self._tier, model=found.model, value=found.value.model_dump(mode="json"), cost_usd=found.usage.cost_usd
        )
        kept = await asyncio.to_thread(self._traces.label, trace.id, label)
        run.labelled += kept
        return None


def _share(max_cost_usd: float | None, run: Labelling, parts: int) -> float | None:
    if max_cost_usd is None:
        return None
    spent = run.usage.cost_usd
    return 0.0 if spent is None else max(0.0, max_cost_usd - spent) / parts
