"""The whole question path: question → plan → retrieve → prune → follow → synthesize → cite → answer.

Read it top to bottom. Where the small stages run is the runner's affair; the graph is the same in one process and in
many.
"""

import asyncio

from haystack import Pipeline, component
from haystack.core.errors import PipelineRuntimeError

from pipelines.cite import Citer
from pipelines.core.deadline import Deadline
from pipelines.core.encoders import Encoder
from pipelines.core.errors import DeadlineExceededError
from pipelines.core.events import AnswerEvent, Emit, ignore
from pipelines.core.session import Observe, Session
from pipelines.core.settings import Settings
from pipelines.core.store import Store
from pipelines.core.tasks import Runner, TraceOf
from pipelines.core.types import Answer, AnswerStatus, Citation, Draft, Evidence, Fate, Plan, Question
from pipelines.follow import Follower
from pipelines.plan import Planner
from pipelines.prune import Pruner
from pipelines.retrieve import Retriever
from pipelines.synthesize import Synthesizer, Writer

NO_ANSWER = "The documents do not answer this question."


def build_answer_pipeline(
    settings: Settings, *, runner: Runner, writer: Writer, encoder: Encoder, store: Store, config_version: str
) -> Pipeline:
    """Builds the question path from its parts."""
    pipeline = Pipeline()
    pipeline.add_component("plan", Planner(runner))
    pipeline.add_component("retrieve", Retriever(store, encoder, settings.retrieve))
    pipeline.add_component("prune", Pruner(runner))
    pipeline.add_component("follow", Follower(store, encoder, runner, settings.retrieve))
    pipeline.add_component("synthesize", Synthesizer(writer))
    pipeline.add_component("cite", Citer(runner))
    pipeline.add_component("answer", AnswerBuilder(config_version))

    pipeline.connect("plan.plan", "retrieve.plan")
    pipeline.connect("plan.standalone", "prune.standalone")
    pipeline.connect("retrieve.hits", "prune.hits")
    pipeline.connect("plan.standalone", "follow.standalone")
    pipeline.connect("retrieve.hits", "follow.hits")
    pipeline.connect("prune.evidence", "follow.evidence")
    pipeline.connect("plan.standalone", "synthesize.standalone")
    pipeline.connect("follow.evidence", "synthesize.evidence")
    pipeline.connect("plan.standalone", "cite.standalone")
    pipeline.connect("follow.evidence", "cite.evidence")
    pipeline.connect("synthesize.draft", "cite.draft")
    pipeline.connect("plan.plan", "answer.plan")
    pipeline.connect("follow.evidence", "answer.evidence")
    pipeline.connect("cite.draft", "answer.draft")
    pipeline.connect("cite.citations", "answer.citations")
    pipeline.connect("cite.unsupported", "answer.unsupported")
    return pipeline


async def answer(
    pipeline: Pipeline,
    question: Question,
    *,
    deadline_s: float,
    emit: Emit = ignore,
    observe: Observe = ignore,
    trace: TraceOf | None = None,
) -> Answer:
    """Answers a question, telling the listener of each step. Cancelling it stops the work.

    Args:
        deadline_s: Used where the question sets no `deadline_ms` of its own; the shorter one holds.
        observe: Hears of each stage as it ends.
        trace: Set where the tasks of the small stages are recorded; it gives the answer its id.

    Raises:
        DeadlineExceededError: there was no answer in time.
        StrataError: the index could not be used, or no declared way of a stage worked.
    """
    own = question.limits.deadline_ms
    deadline = Deadline.after(min(deadline_s, own / 1000) if own else deadline_s)
    session = Session(deadline, emit, max_cost_usd=question.limits.max_cost_usd, observe=observe, trace=trace)
    everyone = {"session": session}
    asked = {"question": question, **everyone}
    data = {
        "plan": asked,
        "retrieve": asked,
        "prune": asked,
        "follow": asked,
        "synthesize": asked,
        "cite": everyone,
        "answer": asked,
    }
    try:
        async with asyncio.timeout(session.deadline.remaining()):
            outputs = await pipeline.run_async(data)
    except TimeoutError:
        usage = session.receipt().total
        raise DeadlineExceededError("The deadline passed before there was an answer.", usage) from None
    except PipelineRuntimeError as error:
        raise error.__cause__ or error from None
    result: Answer = outputs["answer"]["answer"]
    emit(AnswerEvent(answer=result))
    return result


@component
class AnswerBuilder:
    """Puts the answer and its receipt together."""

    def __init__(self, config_version: str) -> None:
        self._config_version = config_version

    @component.output_types(answer=Answer)
    def run(
        self,
        question: Question,
        plan: Plan,
        evidence: Evidence,
        draft: Draft,
        citations: tuple[Citation, ...],
        unsupported: tuple[str, ...],
        session: Session,
    ) -> dict[str, Answer]:
        """Decides the status: an answer that lost all its support is none."""
        status, text, reasons = draft.status, draft.text, draft.reasons
        if status is not AnswerStatus.INSUFFICIENT and not citations:
            status, reasons = (
                AnswerStatus.INSUFFICIENT,
                (*reasons, "no claim of the draft is supported by the evidence"),
            )
        if status is AnswerStatus.INSUFFICIENT:
            text, citations, unsupported = NO_ANSWER, (), ()
        receipt = session.receipt()
        return {
            "answer": Answer(
                id=session.id,
                question=question.text,
                status=status,
                text=text,
                citations=citations,
                unsupported=unsupported,
                reasons=reasons,
                plan=plan,
                receipt=receipt.model_copy(
                    update={"large_tokens_avoided": max(0, evidence.retrieved_tokens - draft.evidence_tokens)}
                ),
                fates=_fates(evidence, citations) if question.explain else (),
                config_version=self._config_version,
            )
        }


def _fates(evidence: Evidence, citations: tuple[Citation, ...]) -> tuple[Fate, ...]:
    cited = {citation.passage_id for citation in citations}
    return tuple(
        fate.model_copy(update={"outcome": "cited"}) if fate.passage_id in cited else fate for fate in evidence.fates
    )
