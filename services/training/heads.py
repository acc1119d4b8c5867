"""How each head that comes with Strata is made from public data: one command, from the sets to the head's folder."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pipelines.core.encoders import Encoder, Head
from pipelines.core.encoders.registry import open_head
from pipelines.core.encoders.source import builtin_folder
from pipelines.core.encoders.spec import SPEC_FILE, HeadName, HeadSpec
from pipelines.core.errors import InvalidRequestError
from pipelines.core.settings import EncoderSettings
from services.training.evidence import recipe as evidence
from services.training.examples import Example
from services.training.network.loop import Score, TrainOptions, train
from services.training.resolve import recipe as resolve
from services.training.sufficiency import recipe as sufficiency
from services.training.sufficiency.calibration import sufficiency_weights
from services.training.support import recipe as support


@dataclass(frozen=True, slots=True)
class Recipe:
    """What is particular to one head.

    Attributes:
        spec: The head before it is trained.
        examples: Training and held-out examples, from the folder of the sets and a seed.
        validate: Measures a head on held-out examples, higher is better.
        calibrate: Thresholds and weights of a trained head, from claims or questions that are held out.
        options: How it is trained.
    """

    spec: Callable[[], HeadSpec]
    examples: Callable[[Path, int], tuple[list[Example], list[Example]]]
    validate: Callable[[Sequence[Example], Score], float]
    calibrate: Callable[[Head, Encoder, Path, int], dict[str, float]]
    options: TrainOptions


def _evidence_calibrated(head: Head, encoder: Encoder, data: Path, seed: int) -> dict[str, float]:
    """What the head weighs, and then, from what it says so weighed, whether the evidence suffices."""
    found = evidence.calibrated(head, encoder, data, seed)
    head.spec = head.spec.model_copy(update={"calibration": found})
    return {**found, **sufficiency_weights(head, encoder, data, seed)}


RECIPES: dict[HeadName, Recipe] = {
    "evidence": Recipe(evidence.spec, evidence.examples, evidence.validate, _evidence_calibrated, evidence.OPTIONS),
    "resolve": Recipe(resolve.spec, resolve.examples, resolve.validate, resolve.calibrated, resolve.OPTIONS),
    "sufficiency": Recipe(
        sufficiency.spec, sufficiency.examples, sufficiency.validate, sufficiency.calibrated, sufficiency.OPTIONS
    ),
    "support": Recipe(support.spec, support.examples, support.validate, support.calibrated, support.OPTIONS),
}


def train_head(
    name: HeadName,
    data: Path,
    folder: Path,
    options: TrainOptions,
    *,
    start: Path | None,
    log: Callable[[str], None],
    encoder: EncoderSettings | None = None,
) -> HeadSpec:
    """Trains a head from the sets, calibrates it and writes its folder.

    Args:
        data: Folder of the sets.
        start: Folder of the head to go on from.
        encoder: How the trained head is run to calibrate it; without it as it is served.

    Raises:
        InvalidRequestError: there is no recipe for it, or a set is missing or malformed.
    """
    recipe = RECIPES.get(name)
    if recipe is None:
        raise InvalidRequestError(f"There is no recipe for the head `{name}`; there are {', '.join(RECIPES)}.")
    examples, held_out = recipe.examples(data, options.seed)
    train(
        recipe.spec(),
        examples,
        builtin_folder(),
        folder,
        options=options,
        validate=lambda score: recipe.validate(held_out, score),
        start=start,
        log=log,
    )
    best = folder if (folder / SPEC_FILE).is_file() else start
    return calibrate_head(name, best or folder, data, options.seed, log, encoder)


def calibrate_head(
    name: HeadName,
    folder: Path,
    data: Path,
    seed: int,
    log: Callable[[str], None],
    encoder: EncoderSettings | None = None,
) -> HeadSpec:
    """Calibrates a trained head and writes what was found into its `head.json`."""
    spec = HeadSpec.read(folder)
    settings = encoder or EncoderSettings()
    found = RECIPES[name].calibrate(open_head(folder, spec, settings), Encoder(settings), data, seed)
    log(f"calibrated: {found}")
    calibrated = spec.model_copy(update={"calibration": found})
    calibrated.write(folder)
    return calibrated


def options_of(name: HeadName, **changed: float) -> TrainOptions:
    """The options of a head's recipe, some of them changed."""
    return replace(RECIPES[name].options, **changed) if name in RECIPES else TrainOptions(**changed)  # type: ignore[arg-type]
