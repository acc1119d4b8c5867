"""The training loop: groups of examples in, a head's folder out."""

import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipelines.core.encoders import Pair
from pipelines.core.encoders.pairs import Window
from pipelines.core.encoders.spec import HeadSpec
from services.training.examples import Example, groups_of
from services.training.network.losses import loss_of
from services.training.network.model import HeadModel, Logits

if TYPE_CHECKING:
    import torch

Score = Callable[[Sequence[Pair]], tuple[NDArray[np.float32], list[NDArray[np.float32]]]]
"""Reads pairs: their logits `(n, pair_labels)` and those of their spans, `(spans, span_labels)` each."""
Validate = Callable[[Score], float]
"""Measures a head on held-out data, higher is better."""


@dataclass(frozen=True, slots=True)
class TrainOptions:
    """How a head is trained.

    Attributes:
        rate: Learning rate of the adapter; the linear layers learn twice as fast.
        step_tokens: Tokens of one step, groups kept whole.
        listwise: Weight of ranking a group's examples, or spans, against each other, beside judging each alone.
        max_s: Training ends after so many seconds, its rate brought down to zero by then.
        checks: How often, in the course of the run, the head is validated; the best one is kept.
    """

    epochs: float = 2.0
    rate: float = 5e-4
    rank: int = 16
    weight_decay: float = 0.01
    warm_up: float = 0.06
    step_tokens: int = 6144
    batch_tokens: int = 3072
    listwise: float = 1.0
    max_s: float = 7200.0
    checks: int = 4
    seed: int = 7


def train(
    spec: HeadSpec,
    examples: Sequence[Example],
    encoder: Path,
    folder: Path,
    *,
    options: TrainOptions,
    validate: Validate,
    start: Path | None = None,
    log: Callable[[str], None] = lambda line: None,
) -> float:
    """Trains a head and writes the best one seen.

    Args:
        encoder: Folder of the encoder.
        folder: Where the head is written.
        start: Head to start from.

    Returns:
        What `validate` said of the best head. Where that is the one to start from, nothing is written.
    """
    import torch

    torch.manual_seed(options.seed)
    model = HeadModel(spec, encoder, rank=options.rank, start=start)
    score = _scorer(model, options.batch_tokens)
    best = validate(score) if start else -math.inf
    adapter, linear = model.parameters()
    optimizer = torch.optim.AdamW(
        [{"params": adapter, "lr": options.rate}, {"params": linear, "lr": 2 * options.rate}],
        weight_decay=options.weight_decay,
    )
    groups = list(groups_of(examples))
    steps = list(_steps(groups, model, options))
    began = time.perf_counter()
    log(f"{len(examples)} examples in {len(groups)} groups, {len(steps)} steps")
    checks = {round(len(steps) * (check + 1) / options.checks) for check in range(options.checks)}
    losses: list[float] = []
    for number, step in enumerate(steps, 1):
        spent = (time.perf_counter() - began) / options.max_s
        done = max(number / len(steps), spent)
        for group, rate in zip(optimizer.param_groups, (options.rate, 2 * options.rate), strict=True):
            group["lr"] = rate * min(1.0, number / len(steps) / options.warm_up) * max(0.0, 1.0 - done)
        losses.append(_step(model, step, optimizer, options))
        if number in checks or spent >= 1:
            value = validate(score)
            log(
                f"step {number}/{len(steps)} loss {np.mean(losses):.4f} held-out {value:.4f} "
                f"{time.perf_counter() - began:.0f} s"
            )
            losses = []
            if value > best:
                best = value
                model.save(folder, spec)
        if spent >= 1:
            break
    return best


@dataclass(frozen=True, slots=True)
class _Step:
    examples: list[Example]
    windows: list[Window]
    groups: list[list[int]]


def _steps(groups: Sequence[list[Example]], model: HeadModel, options: TrainOptions) -> Iterator[_Step]:
    """All steps of all epochs. A group's texts are cut once."""
    shuffler = random.Random(options.seed)  # noqa: S311  # not for security
    tokenized = [(group, model.windows([example.pair for example in group])) for group in groups]
    for epoch in range(math.ceil(options.epochs)):
        order = shuffler.sample(range(len(tokenized)), len(tokenized))
        order = order[: round(len(order) * min(1.0, options.epochs - epoch))]
        held: list[int] = []
        tokens = 0
        for at in order:
            size = sum(len(window.ids) for window in tokenized[at][1])
            if held and tokens + size > options.step_tokens:
                yield _join([tokenized[each] for each in held])
                held, tokens = [], 0
            held.append(at)
            tokens += size
        if held:
            yield _join([tokenized[each] for each in held])


def _join(groups: Sequence[tuple[list[Example], list[Window]]]) -> _Step:
    step = _Step([], [], [])
    for examples, windows in groups:
        first = len(step.examples)
        step.groups.append(list(range(first, first + len(examples))))
        step.examples.extend(examples)
        step.windows.extend(
            Window(window.pair + first, window.ids, window.second_at, window.spans) for window in windows
        )
    return step


def _step(model: HeadModel, step: _Step, optimizer: "torch.optim.Optimizer", options: TrainOptions) -> float:
    import torch

    model.train(True)
    counts = [len(example.spans) for example in step.examples]
    logits = model.forward(step.windows, counts, options.batch_tokens)
    loss = loss_of(logits, step.examples, step.groups, options.listwise)
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_([each for part in model.parameters() for each in part], 1.0)
    optimizer.step()
    return float(loss.detach())


def _scorer(model: HeadModel, batch_tokens: int) -> Score:
    def score(pairs: Sequence[Pair]) -> tuple[NDArray[np.float32], list[NDArray[np.float32]]]:
        import torch

        model.train(False)
        with torch.inference_mode():
            logits: Logits = model.forward(model.windows(pairs), [len(pair.spans) for pair in pairs], batch_tokens)
        spans = np.split(logits.spans.numpy(), np.cumsum(logits.span_counts)[:-1])
        return logits.pairs.numpy(), spans

    return score
