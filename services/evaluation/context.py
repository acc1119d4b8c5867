"""What a task measures with: the split, the real parts of the product, the corpus as an index."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from pipelines.core.settings import Settings
from services.evaluation.data.corpus import Begin, CorpusIndex
from services.evaluation.data.rows import Row
from services.evaluation.data.sets import EvaluationSet, Item
from services.runtime import Runtime

T = TypeVar("T")
R = TypeVar("R", bound=Row)


@dataclass(frozen=True, slots=True)
class Context:
    """One task's surroundings.

    Attributes:
        runtime: With folders of its own; its index is the corpus, complete, where the task needs the index.
        index: Takes documents out of the index and puts them back.
        seed: Of everything that is drawn.
        limit: Questions, claims or files, from the first; without it as many as the task takes.
        begin: Shows the progress of something that takes long.
    """

    evaluated: EvaluationSet
    runtime: Runtime
    index: CorpusIndex
    seed: int
    limit: int | None
    begin: Begin

    @property
    def settings(self) -> Settings:
        """The effective ones."""
        return self.runtime.settings

    def items(self, default: int | None = None) -> tuple[Item, ...]:
        """The questions that have a gold document, at most `limit`, or `default` without one."""
        return tuple(self.first(self.evaluated.items, default))

    def questions(self, default: int | None = None) -> tuple[Item, ...]:
        """All questions, those without a gold document included."""
        return tuple(self.first(self.evaluated.questions, default))

    def rows(self, file: str, row: type[R], *, shared: bool = False) -> tuple[R, ...]:
        """The first lines of a file of the set; see `EvaluationSet.rows`."""
        return tuple(self.first(self.evaluated.rows(file, row, shared=shared)))

    def first(self, values: Sequence[T], default: int | None = None) -> Sequence[T]:
        """As many as the request asks for."""
        return values[: self.limit if self.limit is not None else default]
