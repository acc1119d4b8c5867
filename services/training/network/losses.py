"""What a head's logits are judged by."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from services.training.examples import Example

if TYPE_CHECKING:
    import torch

    from services.training.network.model import Logits


def loss_of(
    logits: "Logits", examples: Sequence[Example], groups: Sequence[Sequence[int]], listwise: float
) -> "torch.Tensor":
    """The loss of one step: each label by itself, and the labels of a group against each other."""
    import torch

    total = torch.zeros(())
    if logits.pairs.shape[1]:
        total = total + _pair_loss(logits.pairs, examples, groups, listwise)
    if logits.spans.shape[1]:
        total = total + _span_loss(logits, examples, groups, listwise)
    return total


def _pair_loss(
    pairs: "torch.Tensor", examples: Sequence[Example], groups: Sequence[Sequence[int]], listwise: float
) -> "torch.Tensor":
    import torch
    from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

    known = [at for at, example in enumerate(examples) if example.label is not None]
    if not known:
        return pairs.sum() * 0.0
    weights = torch.tensor([examples[at].weight for at in known])
    labels = torch.tensor([examples[at].label for at in known], dtype=torch.float32)
    if pairs.shape[1] > 1:
        each = cross_entropy(pairs[known], labels.long(), reduction="none")
        return (each * weights).sum() / weights.sum()
    values = pairs[:, 0]
    each = binary_cross_entropy_with_logits(values[known], labels, reduction="none")
    alone = (each * weights).sum() / weights.sum()
    labelled = [[at for at in group if examples[at].label is not None] for group in groups]
    ranked = _ranking_loss(
        [values[group] for group in labelled],
        [torch.tensor([examples[at].label for at in group], dtype=torch.float32) for group in labelled],
    )
    return alone + listwise * ranked


def _span_loss(
    logits: "Logits", examples: Sequence[Example], groups: Sequence[Sequence[int]], listwise: float
) -> "torch.Tensor":
    import torch
    from torch.nn.functional import binary_cross_entropy_with_logits

    values = torch.split(logits.spans[:, 0], list(logits.span_counts))
    known = [at for at, example in enumerate(examples) if example.span_labels]
    if not known:
        return logits.spans.sum() * 0.0
    labels = {at: torch.tensor(examples[at].span_labels, dtype=torch.float32) for at in known}
    weights = torch.cat([torch.full((len(labels[at]),), examples[at].weight) for at in known])
    each = binary_cross_entropy_with_logits(
        torch.cat([values[at] for at in known]), torch.cat([labels[at] for at in known]), reduction="none"
    )
    alone = (each * weights).sum() / weights.sum()
    labelled = [[at for at in group if at in labels] for group in groups]
    labelled = [group for group in labelled if group]
    ranked = _ranking_loss(
        [torch.cat([values[at] for at in group]) for group in labelled],
        [torch.cat([labels[at] for at in group]) for group in labelled],
    )
    return alone + listwise * ranked


def _ranking_loss(values: "Sequence[torch.Tensor]", labels: "Sequence[torch.Tensor]") -> "torch.Tensor":
    """Each good one against all bad ones of its group: a softmax over them, the mean over the good ones.

    Source: Cao et al., "Learning to Rank: From Pairwise Approach to Listwise Approach" (2007), top-one probability;
    with several good ones, each is compared with the bad ones only.
    """
    import torch

    losses = []
    for value, label in zip(values, labels, strict=True):
        good, bad = value[label > 0.5], value[label <= 0.5]
        if len(good) and len(bad):
            rest = torch.logsumexp(bad, 0)
            losses.append((torch.logaddexp(good, rest) - good).mean())
    return torch.stack(losses).mean() if losses else torch.zeros(())
