"""The small stages and the writer, built from the configuration: which model does what, and what steps in for it."""

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

from pipelines.core.encoders import Encoder, Heads
from pipelines.core.encoders.spec import HeadName
from pipelines.core.models import IN_PROCESS, ModelTiers, provider_of
from pipelines.core.settings import STAGES, Settings, StageName

if TYPE_CHECKING:
    from pipelines.cite import EncoderCiter
    from pipelines.core.tasks import Runner
    from pipelines.plan import ContextPlanner
    from pipelines.prune import EncoderPruner
    from pipelines.synthesize import Writer

HEADS_OF: dict[StageName, tuple[HeadName, ...]] = {
    "plan": ("resolve",),
    "prune": ("evidence", "sufficiency"),
    "cite": ("support",),
}
"""What a stage reads pairs of texts with in process, also where it steps in for the stage's model."""


class Stages:
    """Builds each stage when it is first needed.

    Args:
        tiers, encoder, heads: Give the models, the index's encoder and its heads; called when a stage needs them.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        tiers: Callable[[], ModelTiers],
        encoder: Callable[[], Encoder],
        heads: Callable[[], Heads],
    ) -> None:
        self._settings = settings
        self._tiers, self._encoder, self._heads = tiers, encoder, heads
        self._entries = {entry.model_name: entry for entry in settings.models}
        self._encoders: dict[str, Encoder] = {}

    @cached_property
    def inline(self) -> "Runner":
        """Runs the small stages in this process."""
        from pipelines.cite import ModelCiter
        from pipelines.core.tasks import InlineRunner
        from pipelines.plan import ModelPlanner
        from pipelines.prune import ModelPruner

        settings, tiers = self._settings, self._tiers()
        planner, pruner, citer = self._in_process
        plan, prune, cite = (self.model_of("plan"), self.model_of("prune"), self.model_of("cite"))
        return InlineRunner(
            plan=ModelPlanner(tiers, plan, settings.plan, planner) if plan else planner,
            prune=ModelPruner(tiers, prune, settings.prune, pruner) if prune else pruner,
            cite=ModelCiter(tiers, cite, settings.cite, citer) if cite else citer,
        )

    @cached_property
    def lesser(self) -> "Runner":
        """Does a stage without any model, where no worker does it."""
        from pipelines.plan import ContextPlanner
        from services.queue.lesser import LesserWays

        _, pruner, citer = self._in_process
        planner = ContextPlanner(self._settings.plan)
        return LesserWays(self._settings.stages, planner=planner, pruner=pruner, citer=citer)

    @cached_property
    def writer(self) -> "Writer":
        """Writes answers."""
        from pipelines.synthesize import ExtractiveWriter, ModelWriter

        extractive = ExtractiveWriter(self._settings.synthesize)
        model = self.model_of("synthesize")
        return ModelWriter(self._tiers(), model, self._settings.synthesize, extractive) if model else extractive

    def warm_up(self, stage: StageName) -> None:
        """Loads the models that a small stage needs, and no other. Connects to nothing."""
        _ = self.inline
        if self.model_of(stage):
            self._tiers().warm_up()
        if stage != "plan":  # decides, or steps in where the stage's model fails
            self._encoder_of(stage).warm_up()
        for head in HEADS_OF.get(stage, ()):
            self._heads().get(head)

    def model_of(self, stage: StageName) -> str | None:
        """The LiteLLM entry that a stage uses, or `None` where it works in process."""
        name = self._settings.stages.of(stage)
        return None if self._provider(name) in IN_PROCESS else name

    def away_for_s(self, stage: StageName) -> float:
        """For how long the stage's model is left alone, its fallbacks included, because it failed; 0 when it is not."""
        model = self.model_of(stage)
        return self._tiers().away_for_s(model) if model else 0.0

    def away(self) -> list[StageName]:
        """Stages whose model is left alone for a moment."""
        return [stage for stage in STAGES if self.away_for_s(stage)]

    @cached_property
    def _in_process(self) -> "tuple[ContextPlanner, EncoderPruner, EncoderCiter]":
        """The small stages without language models; their encoders load on first use."""
        from pipelines.cite import EncoderCiter
        from pipelines.plan import ContextPlanner
        from pipelines.prune import EncoderPruner

        settings = self._settings
        return (
            ContextPlanner(settings.plan, self._heads()),
            EncoderPruner(self._encoder_of("prune"), settings.prune, self._heads_of("prune")),
            EncoderCiter(self._encoder_of("cite"), settings.cite, self._heads()),
        )

    def _heads_of(self, stage: StageName) -> Heads | None:
        """The heads of a stage; none where it names an encoder of its own."""
        return self._heads() if self._encoder_of(stage) is self._encoder() else None

    def _encoder_of(self, stage: StageName) -> Encoder:
        """The encoder of a stage: the index's own unless the stage names another `encoder/MODEL`."""
        name = self._settings.stages.of(stage)
        if self._provider(name) != "encoder" or name == "encoder":
            return self._encoder()
        model = self._entries[name].litellm_params.model.partition("/")[2]
        if model not in self._encoders:
            self._encoders[model] = Encoder(self._settings.encoder.model_copy(update={"model": model}))
        return self._encoders[model]

    def _provider(self, name: str) -> str:
        return provider_of(self._entries[name]) if name in self._entries else name
