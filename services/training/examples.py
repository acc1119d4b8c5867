"""What a head learns from: pairs of texts with labels, as JSON lines."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, ValidationError, model_validator

from pipelines.core.encoders import Pair
from pipelines.core.errors import InvalidRequestError
from pipelines.core.types import Value
from services.evaluation.data.split import is_held_out


class Example(Value):
    """A pair of texts and what the head should say of it.

    Attributes:
        first, second, context, spans: As in `Pair`.
        label: For a head with one pair label its probability, 0 to 1; for one with several the place of the right
            one; `None` where it is not known.
        span_labels: Probability of each span, 0 to 1; `None` where they are not known.
        group: Examples of one question; they are ranked against each other, and never stand on both sides of a split.
        source: Where it comes from: `nq_gold`, `made/near_miss`, `traffic`.
        weight: How much it counts.
    """

    first: str
    second: str
    context: str = ""
    spans: tuple[tuple[int, int], ...] = ()
    label: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    span_labels: tuple[Annotated[float, Field(ge=0, le=1)], ...] | None = None
    group: str = ""
    source: str
    weight: float = Field(1.0, gt=0, allow_inf_nan=False)

    @model_validator(mode="after")
    def _spans_have_labels(self) -> Self:
        if self.span_labels is not None and len(self.span_labels) != len(self.spans):
            raise ValueError(f"{len(self.spans)} spans have {len(self.span_labels)} labels")
        if self.label is None and self.span_labels is None:
            raise ValueError("neither the pair nor its spans have a label")
        return self

    @property
    def pair(self) -> Pair:
        """What the head reads."""
        return Pair(self.first, self.second, self.context, self.spans)


def read_examples(path: Path) -> list[Example]:
    """Reads examples from JSON lines.

    Raises:
        InvalidRequestError: the file cannot be read or is malformed; the detail names the line.
    """
    number = 0
    found = []
    try:
        with path.open(encoding="utf-8") as lines:
            for line in lines:
                number += 1
                if line.strip():
                    found.append(Example.model_validate_json(line))
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in problem["loc"])
        raise InvalidRequestError(f"{path} line {number}: {where + ': ' if where else ''}{problem['msg']}.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequestError(f"{path} cannot be read after line {number}: {error}") from error
    return found


def write_examples(path: Path, examples: Iterable[Example]) -> None:
    """Writes examples as JSON lines."""
    with path.open("w", encoding="utf-8") as file:
        for example in examples:
            file.write(example.model_dump_json(exclude_defaults=True) + "\n")


def split_by_group(examples: Sequence[Example], held_out: float) -> tuple[list[Example], list[Example]]:
    """Training and held-out examples; a group is on one side, the same one in every run.

    Args:
        held_out: Share of the groups that is held out, about.
    """
    sides: tuple[list[Example], list[Example]] = ([], [])
    for example in examples:
        sides[is_held_out(example.group or example.first, held_out)].append(example)
    return sides


def groups_of(examples: Sequence[Example]) -> Iterator[list[Example]]:
    """Examples by group, in order of first appearance; one without a group stands alone."""
    groups: dict[str, list[Example]] = {}
    for number, example in enumerate(examples):
        groups.setdefault(example.group or f"#{number}", []).append(example)
    yield from groups.values()
