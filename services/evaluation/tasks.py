"""The tasks, in the order in which they run, and the sets that each can be measured on."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from pipelines.core.errors import InvalidRequestError
from services.evaluation.context import Context
from services.evaluation.measures.abstention import measure_abstention
from services.evaluation.measures.answers import measure_answers, measure_removal
from services.evaluation.measures.conversion import measure_conversion
from services.evaluation.measures.grounding import measure_grounding
from services.evaluation.measures.path import measure_path
from services.evaluation.measures.pruning import measure_pruning
from services.evaluation.measures.relinking import measure_relinking
from services.evaluation.measures.retrieval import measure_retrieval
from services.evaluation.measures.rewriting import measure_rewriting, measure_rewritten_retrieval
from services.evaluation.measures.routing import measure_routing
from services.evaluation.result import TaskResult


@dataclass(frozen=True, slots=True)
class Task:
    """Something that can be measured.

    Attributes:
        measure: Gives the figures; raises a `StrataError` where it cannot.
        needs_index: Whether the set's corpus is to be indexed first.
    """

    name: str
    measure: Callable[[Context], Awaitable[TaskResult]]
    sets: tuple[str, ...]
    needs_index: bool = True


ANSWERED = ("nq_gold", "clapnq", "multihop_wiki", "expertqa", "tatqa", "pubmedqa", "xquad_en")
"""Sets whose answers are measured by themselves; on those of `path` they are measured beside its arms."""

TASKS = (
    Task("retrieval", measure_retrieval, ("nq_gold", "multihop_wiki", "mtrag", "clapnq", "sec10q", "xquad_en")),
    Task("answers", measure_answers, ANSWERED),
    Task("path", measure_path, ("nq_gold", "mtrag_un", "sec10q", "quotesum")),
    Task("conversion", measure_conversion, ("ingest_docs",), needs_index=False),
    Task("removal", measure_removal, ("nq_gold",)),
    Task("rewriting", measure_rewritten_retrieval, ("mtrag",)),
    Task("rewriting", measure_rewriting, ("cast_rewrite",), needs_index=False),
    Task("grounding", measure_grounding, ("wice", "expertqa", "fm2", "mtrag_human_eval"), needs_index=False),
    Task("citation", measure_relinking, ("multihop_wiki", "clapnq"), needs_index=False),
    Task("routing", measure_routing, ("routing",), needs_index=False),
    Task("pruning", measure_pruning, ("multihop_wiki", "clapnq"), needs_index=False),
    Task("abstention", measure_abstention, ("nq_gold",)),
    Task("abstention", measure_abstention, ("clapnq",), needs_index=False),
)


def tasks_of(name: str, task: str | None = None) -> tuple[Task, ...]:
    """The tasks of a set, or the one that is named.

    Raises:
        InvalidRequestError: the set has no such task.
    """
    offered = tuple(each for each in TASKS if name in each.sets)
    if task is None:
        return offered
    chosen = tuple(each for each in offered if each.name == task)
    if not chosen:
        names = ", ".join(each.name for each in offered)
        raise InvalidRequestError(f"`{name}` has no task `{task}`; it has {names}.")
    return chosen
