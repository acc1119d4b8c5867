"""The small stages as tasks: typed, stateless, the same whether they run here or on a queue."""

from collections.abc import Awaitable, Callable
from typing import Protocol

from pydantic import Field

from pipelines.core.deadline import Deadline
from pipelines.core.types import Citation, Draft, Evidence, Hit, Plan, Question, StageReceipt, Value

MODEL_SHARE = 0.5
"""Share of the time left that the language model of a small stage may take; its fallback and what follows need some."""

IN_PROCESS_SHARE = 0.8
"""The same for the in-process way, which has a quicker one to fall back on."""


class TraceOf(Value):
    """Whose question a task belongs to, where what is done for it is recorded.

    Attributes:
        labels: Access labels of whoever asked; `None` means all.
    """

    question_id: str
    tenant: str
    labels: tuple[str, ...] | None = None


class Task(Value):
    """Input of a stage: what it works on, and what is left for the question when it is handed over.

    Attributes:
        trace: Set where the task is recorded; see `services.questions.recording`.
        cost_left_usd: What may still be spent, `None` where nothing bounds it.
    """

    timeout_s: float = Field(ge=0)
    cost_left_usd: float | None = None
    trace: TraceOf | None = None

    def model_deadline(self, timeout_s: float) -> Deadline:
        """Until when a language model may work on it, `timeout_s` at most."""
        return Deadline.after(min(self.timeout_s * MODEL_SHARE, timeout_s))

    def in_process_s(self, timeout_s: float) -> float:
        """How long the in-process way may work on it, `timeout_s` at most."""
        return min(self.timeout_s * IN_PROCESS_SHARE, timeout_s)


class Result(Value):
    """What a stage gives back, and what it took."""

    receipt: StageReceipt


class PlanTask(Task):
    """Make the question stand alone and write queries."""

    question: Question


class PlanResult(Result):
    """The plan; `plan.queries[0]` is the question as asked."""

    plan: Plan


class PruneTask(Task):
    """Keep what carries evidence. `hits` come best first; `question` stands alone, `asked` is the last turn."""

    question: str
    asked: str
    hits: tuple[Hit, ...]


class PruneResult(Result):
    """The evidence; never empty while there were hits."""

    evidence: Evidence


class CiteTask(Task):
    """Bind each claim of a draft to the sentence that supports it."""

    question: str
    draft: Draft
    evidence: Evidence


class CiteResult(Result):
    """The text with verified markers, numbered by first appearance.

    Attributes:
        unsupported: Claims, verbatim, that no evidence supports.
    """

    text: str
    citations: tuple[Citation, ...]
    unsupported: tuple[str, ...]


PlanStage = Callable[[PlanTask], Awaitable[PlanResult]]
PruneStage = Callable[[PruneTask], Awaitable[PruneResult]]
CiteStage = Callable[[CiteTask], Awaitable[CiteResult]]


class Runner(Protocol):
    """Where the small stages run. The question path does not know."""

    @property
    def plan(self) -> PlanStage:
        """Makes the plan."""

    @property
    def prune(self) -> PruneStage:
        """Chooses the evidence."""

    @property
    def cite(self) -> CiteStage:
        """Verifies the citations."""


class InlineRunner:
    """Runs the stages in this process."""

    def __init__(self, plan: PlanStage, prune: PruneStage, cite: CiteStage) -> None:
        self.plan, self.prune, self.cite = plan, prune, cite
