"""What each stage does in this process when no worker does it: quick, cheap, and declared in the receipt."""

from pipelines.cite import EncoderCiter, assemble, list_sources, read_claims
from pipelines.core.session import Stopwatch
from pipelines.core.settings import StageModels
from pipelines.core.tasks import CiteResult, CiteTask, PlanResult, PlanTask, PruneResult, PruneTask
from pipelines.core.types import StageReceipt
from pipelines.plan import ContextPlanner
from pipelines.prune import EncoderPruner

BY_RANK = "in-process/rank"
BY_WORDS = "in-process/words"


class LesserWays:
    """A `Runner` without models: the question as asked, passages in order of retrieval, citations by their words."""

    def __init__(
        self, stages: StageModels, *, planner: ContextPlanner, pruner: EncoderPruner, citer: EncoderCiter
    ) -> None:
        self._stages, self._planner, self._pruner, self._citer = stages, planner, pruner, citer

    async def plan(self, task: PlanTask) -> PlanResult:
        """The in-process plan."""
        result = await self._planner(task)
        receipt = result.receipt.model_copy(update={"tier": self._stages.of("plan")})
        return result.model_copy(update={"receipt": receipt})

    async def prune(self, task: PruneTask) -> PruneResult:
        """The evidence by retrieval order."""
        watch = Stopwatch()
        evidence = self._pruner.by_rank(task)
        receipt = StageReceipt(stage="prune", tier=self._stages.of("prune"), model=BY_RANK, ms=watch.ms)
        return PruneResult(evidence=evidence, receipt=receipt)

    async def cite(self, task: CiteTask) -> CiteResult:
        """Citations by words and numbers."""
        watch = Stopwatch()
        claims, sources = read_claims(task.draft.text), list_sources(task.evidence)
        bound, _ = self._citer.bind(claims, sources, embed=False)
        receipt = StageReceipt(stage="cite", tier=self._stages.of("cite"), model=BY_WORDS, ms=watch.ms)
        return assemble(claims, bound, receipt)
