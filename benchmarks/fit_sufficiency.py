"""Fits what the prune stage takes for sufficient: the probability that the evidence answers the question.

Usage: python -m benchmarks.fit_sufficiency --data DIR [--head FOLDER] [--write] [--json FILE]

Questions of `train` and of the corpora are asked twice, over a corpus with their answer and over one without it, ranked
anew. Two logistic regressions tell the cases apart: on what a head `evidence` says, whose weights `--write` puts into
the calibration of its `head.json`; and on words and vectors alone, for where no head reads: the constants of
`pipelines/sufficiency.py`. The figures are of questions that the weights were not fitted on, five folds.

`strata train evidence` fits the first as it calibrates the head; this does it again for a head that is there already.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from pipelines.core.encoders import Encoder
from pipelines.core.encoders.registry import open_head
from pipelines.core.encoders.spec import ADAPTERS, HeadSpec
from pipelines.core.odds import log_odds
from pipelines.core.settings import EncoderSettings
from pipelines.sufficiency import estimate_sufficiency
from services.evaluation.provenance import provenance
from services.training.sufficiency.calibration import fit, fit_read, measure, named, report
from services.training.sufficiency.cases import held_out_cases


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds the sets")
    parser.add_argument("--head", type=Path, default=ADAPTERS / "evidence", help="the head `evidence`")
    parser.add_argument("--write", action="store_true", help="put the weights into its head.json")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--json", type=Path, help="where to write the result")
    arguments = parser.parse_args()

    settings, spec = EncoderSettings(), HeadSpec.read(arguments.head)
    encoder = Encoder(settings)
    head = open_head(arguments.head, spec, settings)
    measured = measure(held_out_cases(encoder, arguments.data, arguments.seed), head, encoder)
    cases = [each.case for each in measured]
    read = fit_read(measured)
    words = np.array(
        [(1.0, each.features.best_sentence_cosine, each.features.best_passage_coverage) for each in measured]
    )
    alone = fit(words, cases)
    in_force = np.array([log_odds(estimate_sufficiency(each.features)) for each in measured])
    result = {
        "with the head": {"weights": named(read), "cases": report(read.scores, cases)},
        "words and vectors": {
            "weights": dict(
                zip(("BIAS", "COSINE_WEIGHT", "COVERAGE_WEIGHT"), alone.weights.round(2).tolist(), strict=True)
            ),
            "cases": report(alone.scores, cases),
        },
        "words and vectors as in force": {"cases": report(in_force, cases)},
    }
    print(json.dumps(result, indent=2))
    if arguments.write:
        kept = HeadSpec.read(arguments.head)
        kept.model_copy(update={"calibration": {**kept.calibration, **named(read)}}).write(arguments.head)
    if arguments.json:
        arguments.json.write_text(json.dumps({**result, "provenance": provenance()}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
