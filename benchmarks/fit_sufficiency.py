"""Fits the constants of `pipelines.sufficiency`: the probability that retrieved evidence answers a question.

Usage: python -m benchmarks.fit_sufficiency --data DIR [--questions 800] [--work-dir DIR] [--json FILE]

Every question of nq_gold is looked at twice: as the product retrieves for it, and with the passages of its gold
document taken out of what was retrieved, the next best moving up. A logistic regression on the product's own two
features tells the cases apart. It is fitted on `train`, which also gives the threshold: the share `--wrong-abstention`
of its answerable questions falls below. `dev` is only measured, with the new constants and with those in force.
"""

import argparse
import asyncio
import json
from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from pipelines.core.deadline import Deadline
from pipelines.core.odds import sigmoid
from pipelines.core.session import Session
from pipelines.core.settings import Settings
from pipelines.core.types import Hit
from pipelines.plan import Planner
from pipelines.relevance import Relevance, list_candidates
from pipelines.retrieve import Retriever
from pipelines.sufficiency import (
    BIAS,
    COSINE_WEIGHT,
    COVERAGE_WEIGHT,
    Features,
    best_passage_coverage,
    estimate_sufficiency,
)
from services.cli.progress import progress
from services.evaluation.data.corpus import CorpusIndex, corpus_settings
from services.evaluation.data.sets import Item, load
from services.evaluation.measures.retrieval import question_of
from services.evaluation.provenance import provenance
from services.runtime import Runtime

SPARE = 20
"""Hits beyond `top_k`, so that there are enough without the gold document's passages."""
NAMES = tuple(each.name for each in fields(Features))

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Fit:
    """`sufficiency = 1 / (1 + exp(-(weights · features + bias)))`; abstain below `threshold`."""

    weights: dict[str, float]
    bias: float
    threshold: float

    def probability(self, features: Matrix) -> Matrix:
        """`sufficiency` of each row."""
        logit = features @ np.array([self.weights[name] for name in NAMES]) + self.bias
        return sigmoid(logit)


class Measure:
    """The features of questions, by the product's stages."""

    def __init__(self, runtime: Runtime) -> None:
        settings = runtime.settings
        self.top_k, self.evidence = settings.retrieve.top_k, settings.prune.max_passages
        self.encoder, self.deadline_s = runtime.encoder, settings.answer.deadline_s
        self.planner = Planner(runtime.runner)
        wider = settings.retrieve.model_copy(update={"top_k": self.top_k + SPARE})
        self.retriever = Retriever(runtime.store, runtime.encoder, wider)

    async def both(self, items: Sequence[Item]) -> tuple[Matrix, Matrix]:
        """`(len(items), 2)` each: with the gold documents, and without."""
        rows = [await self._item(item) for item in items]
        return np.array([astuple(row[0]) for row in rows]), np.array([astuple(row[1]) for row in rows])

    async def _item(self, item: Item) -> tuple[Features, Features]:
        question, session = question_of(item), Session(Deadline.after(self.deadline_s))
        planned = await self.planner.run_async(question=question, session=session)
        found = await self.retriever.run_async(question=question, plan=planned["plan"], session=session)
        hits = found["hits"]
        without = tuple(hit for hit in hits if hit.passage.source not in item.gold)
        cases = [self._case(item.question, each[: self.top_k]) for each in (hits, without)]
        texts = list(dict.fromkeys(text for _, sentences in cases for text in sentences))  # most stand in both
        vectors = self.encoder.embed([item.question, *texts]).vectors
        cosine = dict(zip(texts, (vectors[1:] @ vectors[0]).tolist(), strict=True))
        both = [Features(max(cosine[text] for text in sentences), share) for share, sentences in cases]
        return both[0], both[1]

    def _case(self, question: str, hits: Sequence[Hit]) -> tuple[float, list[str]]:
        """The coverage feature, and the sentences that the other one is taken over."""
        evidence = hits[: self.evidence]
        candidates = list_candidates(evidence)
        chosen = Relevance(question, candidates).to_encode()
        share = best_passage_coverage(question, hits, len(evidence))
        return share, [candidates[at].text for at in chosen]


def fit(answerable: Matrix, removed: Matrix, wrong_abstention: float) -> Fit:
    x = np.vstack([answerable, removed])
    y = np.repeat([1, 0], [len(answerable), len(removed)])
    model = LogisticRegression(C=100.0).fit(x, y)
    threshold = float(np.quantile(model.predict_proba(answerable)[:, 1], wrong_abstention))
    weights = dict(zip(NAMES, (round(float(weight), 2) for weight in model.coef_[0]), strict=True))
    return Fit(weights, round(float(model.intercept_[0]), 2), round(threshold, 2))


def report(fitted: Fit, answerable: Matrix, removed: Matrix) -> dict[str, float]:
    good, bad = fitted.probability(answerable), fitted.probability(removed)
    auc = roc_auc_score(np.repeat([1, 0], [len(good), len(bad)]), np.concatenate([good, bad]))
    return {
        "questions": len(good),
        "auc": round(float(auc), 3),
        "wrongly_abstains": round(float((good < fitted.threshold).mean()), 3),
        "rightly_abstains": round(float((bad < fitted.threshold).mean()), 3),
    }


def in_force() -> Fit:
    """The product's constants, as it computes with them."""
    weights = dict(zip(NAMES, (COSINE_WEIGHT, COVERAGE_WEIGHT), strict=True))
    current = Fit(weights, BIAS, Settings().prune.min_sufficiency)
    probe = Features(0.6, 0.8)
    assert abs(current.probability(np.array([astuple(probe)]))[0] - estimate_sufficiency(probe)) < 1e-9
    return current


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds nq_gold/")
    parser.add_argument("--questions", type=int, default=800, help="of train; all of dev are measured")
    parser.add_argument("--wrong-abstention", type=float, default=0.1, help="share of answerable train questions")
    parser.add_argument("--work-dir", type=Path, default=Path(".strata/evaluation"), help="where the index is kept")
    parser.add_argument("--json", type=Path, help="where to write the result")
    arguments = parser.parse_args()

    train, dev = (load("nq_gold", arguments.data, split) for split in ("train", "dev"))
    with Runtime(corpus_settings(Settings(), train, arguments.work_dir)) as runtime:
        CorpusIndex(train, runtime).ensure(progress)
        measure = Measure(runtime)
        fitted_on = asyncio.run(measure.both(train.items[: arguments.questions]))
        fitted = fit(*fitted_on, arguments.wrong_abstention)
        held = asyncio.run(measure.both(dev.items))
    current = in_force()
    result = {
        "fitted": asdict(fitted),
        "in force": asdict(current),
        "train, fitted": report(fitted, *fitted_on),
        "dev, fitted": report(fitted, *held),
        "dev, in force": report(current, *held),
    }
    print(json.dumps(result, indent=2))
    if arguments.json:
        text = json.dumps({**result, "provenance": provenance()}, indent=2)
        arguments.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
