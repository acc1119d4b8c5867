"""A better head from recorded traffic: trained from the live one, judged beside it, and stored with its figures."""

import hashlib
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipelines.core.encoders import Pair
from pipelines.core.encoders.registry import open_head
from pipelines.core.encoders.source import builtin_folder
from pipelines.core.encoders.spec import SPEC_FILE, HeadName, HeadSpec
from pipelines.core.errors import ConfigurationError, InvalidRequestError
from pipelines.core.settings import EncoderSettings
from pipelines.core.state import HeadVersion, HeadVersions
from services.evaluation.data.split import is_held_out
from services.evaluation.provenance import provenance
from services.evaluation.statistics import mean
from services.heads.versions import HeadStore, shipped
from services.training.examples import Example, split_by_group
from services.training.network.loop import TrainOptions, train
from services.training.traffic.acceptance import Score, Scored, Verdict, judge, table, values

HELD_OUT = 0.3
"""Share of the questions that nothing is trained or chosen on. The same questions in every run: by their hash."""
CHOSEN_ON = 0.2
"""Share of the others by which the best state of a run is chosen."""

CARD = """# {name} {version}

Trained from {parent} on recorded traffic, by `strata train {name} --traces FILE`.

{figures}

Data: {examples} examples of {questions} questions, labelled by a larger model; {held_out} questions held out. The
labels are that model's, not people's. Thresholds are those of the head that it was trained from. Seed {seed}.
"""


@dataclass(frozen=True, slots=True)
class Improved:
    """How a run went.

    Attributes:
        version: What was stored; `None` where training bettered the live head on no question, and nothing is there.
    """

    version: HeadVersion | None
    verdict: Verdict | None


@dataclass(frozen=True, slots=True)
class Split:
    """The sides of a run; no question is on two of them."""

    fit: list[Example]
    chosen_on: list[Example]
    held_out: list[Example]


def split(examples: Sequence[Example]) -> Split:
    """Splits by question.

    Raises:
        InvalidRequestError: there are too few questions for it.
    """
    rest, held_out = split_by_group(examples, HELD_OUT)
    sides: tuple[list[Example], list[Example]] = ([], [])
    for example in rest:  # another hash: the first one has sorted them already
        sides[is_held_out(f"chosen on {example.group or example.first}", CHOSEN_ON)].append(example)
    if not (all(sides) and held_out):
        raise InvalidRequestError(
            f"{len(examples)} examples are of too few questions to train on some, choose by some and judge by the rest."
        )
    return Split(*sides, held_out)


class Improving:
    """Trains heads from traffic.

    Args:
        told: Hears how far it is, a line at a time.
    """

    def __init__(
        self,
        encoder: EncoderSettings,
        versions: HeadVersions,
        store: HeadStore,
        told: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._encoder, self._versions, self._store, self._told = encoder, versions, store, told

    def run(
        self, name: HeadName, examples: Sequence[Example], options: TrainOptions, *, force: bool = False
    ) -> Improved:
        """Trains, judges and stores a candidate; accepts it where it is better, or by `force`.

        Raises:
            InvalidRequestError: there are too few questions, or labels that this head does not have.
            ConfigurationError: there is no head to start from.
            ConflictError: another head became live meanwhile; the candidate is stored, and judged beside the old one.
        """
        sides = split(examples)
        parent, live = self._live(name)
        spec = HeadSpec.read(live)
        _check_labels(spec, examples)
        made = spec.model_copy(update={"version": _new_version(examples)})
        with tempfile.TemporaryDirectory(prefix="strata-train-") as scratch:
            folder = Path(scratch)
            train(
                made,
                sides.fit,
                builtin_folder(),
                folder,
                options=options,
                validate=lambda score: mean(list(values(spec, sides.chosen_on, score).values())),
                start=live,
                log=self._told,
            )
            if not (folder / SPEC_FILE).is_file():
                return Improved(None, None)
            verdict = judge(spec, sides.held_out, self._scores(live, spec), self._scores(folder, made))
            card = _card(made, parent or f"{spec.version}, as it comes with Strata", verdict, sides, options)
            (folder / "README.md").write_text(card, encoding="utf-8")
            stored = self._store.add(folder, _figures(verdict, sides, options, force), parent)
        if verdict.accepted or force:
            return Improved(self._versions.accept(name, stored.version, as_better=not force), verdict)
        return Improved(self._versions.reject(name, stored.version), verdict)

    def _live(self, name: HeadName) -> tuple[str | None, Path]:
        """The version that is live, `None` where it comes with Strata, and its folder."""
        accepted = self._versions.live().get(name)
        if accepted is not None:
            return accepted.version, self._store.folder(accepted)
        comes = shipped(name)
        if comes is None:
            raise ConfigurationError(f"There is no head {name} to start from.")
        return None, comes[1]

    def _scores(self, folder: Path, spec: HeadSpec) -> Score:
        """A head as it is served: judged are the engine and the precision that will answer."""
        head = open_head(folder, spec, self._encoder)

        def score(pairs: Sequence[Pair]) -> Scored:
            found = head.score(pairs)
            return found.pairs, found.spans

        return score


def _check_labels(spec: HeadSpec, examples: Sequence[Example]) -> None:
    highest = max(1, len(spec.pair_labels) - 1)
    for number, example in enumerate(examples, 1):
        if example.label is not None and example.label > highest:
            raise InvalidRequestError(f"Example {number} has the label {example.label:g}; {spec.name} has none such.")


def _new_version(examples: Sequence[Example]) -> str:
    digest = hashlib.sha256("\n".join(example.model_dump_json() for example in examples).encode()).hexdigest()
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{digest[:6]}"


def _figures(verdict: Verdict, sides: Split, options: TrainOptions, force: bool) -> dict[str, Any]:
    return {
        **verdict.model_dump(mode="json"),
        "forced": force and not verdict.accepted,
        "examples": {"fit": len(sides.fit), "chosen_on": len(sides.chosen_on), "held_out": len(sides.held_out)},
        "options": asdict(options),
        "provenance": provenance(),
    }


def _card(spec: HeadSpec, parent: str, verdict: Verdict, sides: Split, options: TrainOptions) -> str:
    every = [*sides.fit, *sides.chosen_on, *sides.held_out]
    return CARD.format(
        name=spec.name,
        version=spec.version,
        parent=parent,
        figures="\n".join(f"- {name}: {value}" for name, value in table(verdict).items()),
        examples=len(every),
        questions=_questions(every),
        held_out=_questions(sides.held_out),
        seed=options.seed,
    )


def _questions(examples: Sequence[Example]) -> int:
    return len({example.group or example.first for example in examples})
