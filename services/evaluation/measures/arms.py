"""The whole path and the uniform ways to compare it with: who writes, from what, and at what price."""

from dataclasses import dataclass, field

from haystack import Pipeline

from pipelines.answer import build_answer_pipeline
from pipelines.core.session import Session
from pipelines.core.settings import STAGES, Settings
from pipelines.core.tasks import InlineRunner, PruneResult, PruneTask, Runner
from pipelines.core.text import estimate_tokens
from pipelines.core.types import Answer, Draft, Evidence, EvidenceItem, Question, StageReceipt
from pipelines.synthesize import ExtractiveWriter, ModelWriter, Writer, writing_prompt
from services.runtime import Runtime

STRATA, LARGE, SMALL = "strata", "everything to the large model", "small model alone"

LARGE_PRICE, SMALL_PRICE = (1.25e-6, 10e-6), (0.30e-6, 2.50e-6)
"""USD of a token in and out where the configuration has no price: the list prices of gemini-2.5-pro and
gemini-2.5-flash in LiteLLM 1.106's table."""


@dataclass(frozen=True, slots=True)
class Tiers:
    """Which configured model is the large one and which the small one, `None` where none is.

    Attributes:
        large_price, small_price: USD of a token in and out.
        declared: Whose prices are not the configuration's.
    """

    large: str | None
    small: str | None
    large_price: tuple[float, float]
    small_price: tuple[float, float]
    declared: tuple[str, ...]

    @classmethod
    def of(cls, runtime: Runtime) -> "Tiers":
        """The model that writes is large; the first other one of the stages before and after it is small."""
        large = runtime.stages.model_of("synthesize")
        others = (runtime.stages.model_of(stage) for stage in STAGES if stage != "synthesize")
        small = next((name for name in others if name and name != large), None)
        known = {name: runtime.tiers.price(name) for name in (large, small) if name}
        large_price, small_price = known.get(large or ""), known.get(small or "")
        declared = [name for name, price in (("large", large_price), ("small", small_price)) if price is None]
        return cls(large, small, large_price or LARGE_PRICE, small_price or SMALL_PRICE, tuple(declared))


@dataclass(slots=True)
class Spent:
    """What one question took of language models; estimated where none is configured.

    Attributes:
        seen: What the writer was given, as text; empty where it was not asked.
    """

    large_calls: int = 0
    large_in: int = 0
    large_out: int = 0
    small_calls: int = 0
    small_in: int = 0
    small_out: int = 0
    seen: str = ""

    def cost_usd(self, tiers: Tiers) -> float:
        """All tokens at their tier's price."""
        large, small = tiers.large_price, tiers.small_price
        return (
            self.large_in * large[0] + self.large_out * large[1] + self.small_in * small[0] + self.small_out * small[1]
        )


@dataclass(slots=True)
class Arm:
    """One way from question to answer."""

    name: str
    tiers: Tiers
    pipeline: Pipeline
    writer: "MeteredWriter"

    def spent(self, answer: Answer | None) -> Spent:
        """What the question that was just answered took."""
        spent = Spent(seen=self.writer.seen)
        if answer is None:
            return spent
        for stage in answer.receipt.stages:
            self._add(spent, stage)
        configured = self.tiers.small if self.name == SMALL else self.tiers.large
        if configured is None and self.writer.seen:  # what it would have taken
            out = estimate_tokens(self.writer.written)
            if self.name == SMALL:
                spent.small_calls, spent.small_in, spent.small_out = 1, self.writer.prompt_tokens, out
            else:
                spent.large_calls, spent.large_in, spent.large_out = 1, self.writer.prompt_tokens, out
        return spent

    def _add(self, spent: Spent, stage: StageReceipt) -> None:
        usage = stage.usage
        if stage.tier and stage.tier == self.tiers.large:
            spent.large_calls += usage.calls
            spent.large_in += usage.tokens_in
            spent.large_out += usage.tokens_out
        elif stage.tier and stage.tier == self.tiers.small:
            spent.small_calls += usage.calls
            spent.small_in += usage.tokens_in
            spent.small_out += usage.tokens_out


@dataclass(slots=True)
class MeteredWriter:
    """Has another writer write, and remembers what it was given. For one question at a time."""

    inner: Writer
    seen: str = field(default="", init=False)
    written: str = field(default="", init=False)
    prompt_tokens: int = field(default=0, init=False)

    async def __call__(self, question: Question, standalone: str, evidence: Evidence, session: Session) -> Draft:
        """See `Writer`."""
        self.seen = "\n".join(f"{item.passage.context}\n{item.text}" for item in evidence.items)
        messages = writing_prompt(standalone, evidence.items)
        self.prompt_tokens = sum(estimate_tokens(message.content) for message in messages)
        draft = await self.inner(question, standalone, evidence, session)
        self.written = draft.text
        return draft

    def forget(self) -> None:
        """Before the next question."""
        self.seen, self.written, self.prompt_tokens = "", "", 0


async def keep_everything(task: PruneTask) -> PruneResult:
    """A prune stage that prunes nothing and refuses nothing."""
    items = tuple(
        EvidenceItem(
            number=number, passage=hit.passage, score=1 / number, kept=tuple(range(len(hit.passage.sentences)))
        )
        for number, hit in enumerate(task.hits, 1)
    )
    tokens = sum(estimate_tokens(f"{hit.passage.context}{hit.passage.text}") for hit in task.hits)
    evidence = Evidence(items=items, sufficiency=1.0, sufficient=bool(items), retrieved_tokens=tokens)
    return PruneResult(evidence=evidence, receipt=StageReceipt(stage="prune", tier="none", model=""))


def build_arms(runtime: Runtime, tiers: Tiers) -> tuple[Arm, ...]:
    """Strata as configured; and the same retrieval with nothing pruned, for the large or the small model to write."""
    settings, runner = runtime.settings, runtime.runner
    uniform = InlineRunner(plan=runner.plan, prune=keep_everything, cite=runner.cite)
    extractive = ExtractiveWriter(settings.synthesize)

    def arm(name: str, run: Runner, inner: Writer) -> Arm:
        writer = MeteredWriter(inner)
        pipeline = build_answer_pipeline(
            settings,
            runner=run,
            writer=writer,
            encoder=runtime.encoder,
            store=runtime.store,
            config_version=runtime.config_version,
        )
        return Arm(name, tiers, pipeline, writer)

    def model(name: str | None) -> Writer:
        return ModelWriter(runtime.tiers, name, settings.synthesize, extractive) if name else extractive

    return (
        arm(STRATA, runner, runtime.stages.writer),
        arm(LARGE, uniform, model(tiers.large)),
        arm(SMALL, uniform, model(tiers.small)),
    )


def described(settings: Settings, tiers: Tiers) -> tuple[str, ...]:
    """What a reader must know of who wrote and what the prices are of."""
    entries = {entry.model_name: entry.litellm_params.model for entry in settings.models}
    notes = []
    for role, name in (("large", tiers.large), ("small", tiers.small)):
        if name:
            notes.append(f"The {role} model is `{name}` ({entries[name]}).")
        else:
            notes.append(
                f"No {role} language model is configured: in its place, sentences were quoted as they stand. Tokens "
                "are estimated: the prompt that it would be sent and the quoted answer. Quality says nothing of it."
            )
    if tiers.declared:
        large, small = (f"${price[0] * 1e6:g} / ${price[1] * 1e6:g}" for price in (LARGE_PRICE, SMALL_PRICE))
        notes.append(
            f"Declared prices, USD a million tokens in / out, for {' and '.join(tiers.declared)}: large {large}, small "
            f"{small} (list prices of gemini-2.5-pro and gemini-2.5-flash)."
        )
    return tuple(notes)
