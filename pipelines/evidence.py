"""Scored passages → evidence: what fits the budget, what each kept sentence needs beside it, and why the rest went."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.core.settings import PruneSettings
from pipelines.core.text import estimate_tokens, fold
from pipelines.core.types import Evidence, EvidenceItem, Fate, Hit, Passage

MIN_RELATIVE_SCORE = 0.35
"""A sentence is kept when it scores at least this share of the best one."""

CHOSEN = 0.01
"""The same where a model chose: all that it chose score more, whatever their rank, and all others nothing."""

_POINTS_BACK = re.compile(
    r"\W*(it|its|he|him|his|she|her|they|them|their|this|that|these|those|such|here|there|both|either|neither|but|"
    r"however|instead|otherwise|therefore|thus|then|so|also|moreover|the (former|latter))\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class ScoredHit:
    """A passage with its sentences' scores.

    Attributes:
        relevance: Of the passage as a whole, where that was judged by itself.
    """

    hit: Hit
    scores: tuple[float, ...]
    relevance: float | None = None

    @property
    def score(self) -> float:
        """What passages are ranked by: their relevance, else the best of their sentences' scores, 0 without any."""
        return max(self.scores, default=0.0) if self.relevance is None else self.relevance


def fit_evidence(
    candidates: Sequence[ScoredHit],
    settings: PruneSettings,
    sufficiency: float,
    *,
    relative: float = MIN_RELATIVE_SCORE,
    least: float | None = None,
    hits: Sequence[Hit] = (),
) -> Evidence:
    """Keeps the best sentences of the best passages until the budget is full; never nothing where there was something.

    A score that is too low counts only once there are `prune.min_tokens`: of a broad question no sentence is sure to
    help, and a writer needs more than a few of them. What scored 0 was not read, or not chosen, and is never kept.

    Args:
        relative: Sentences below this share of the best score are too low.
        least: Sentences below this score are too low instead, except the best one.
        hits: All hits, where `candidates` are not all of them.
    """
    hits = hits or [candidate.hit for candidate in candidates]
    ranked = sorted(candidates, key=lambda candidate: -candidate.score)
    fates = {hit.passage.id: "not chosen" for hit in hits}
    kept: dict[int, list[int]] = {}
    seen: set[str] = set()
    budget = settings.budget_tokens
    best = max((score for candidate in ranked for score in candidate.scores), default=0.0)
    floor = best * relative if least is None else min(best, least)
    order = sorted(
        ((score, rank, index) for rank, candidate in enumerate(ranked) for index, score in enumerate(candidate.scores)),
        key=lambda each: (-each[0], each[1], each[2]),
    )
    for score, rank, index in order:
        passage = ranked[rank].hit.passage
        text = passage.quote(passage.sentences[index])
        tokens = estimate_tokens(text) + (0 if rank in kept else estimate_tokens(passage.context))
        weak = score < floor and (score == 0.0 or settings.budget_tokens - budget >= settings.min_tokens)
        if reason := _reason(weak, fold(text) in seen, rank not in kept and len(kept) >= settings.max_passages):
            fates[passage.id] = reason
        elif tokens > budget and kept:
            fates[passage.id] = "over the token budget"
        else:
            kept.setdefault(rank, []).append(index)
            seen.add(fold(text))
            budget -= tokens
    for rank, indices in kept.items():
        budget = _with_neighbours(ranked[rank].hit.passage, indices, budget, seen)
    items = tuple(
        EvidenceItem(
            number=number,
            passage=ranked[rank].hit.passage,
            score=min(1.0, ranked[rank].score),
            kept=tuple(sorted(indices)),
            scores=ranked[rank].scores,
        )
        for number, (rank, indices) in enumerate(sorted(kept.items()), 1)
    )
    return Evidence(
        items=items,
        sufficiency=sufficiency,
        sufficient=bool(items) and sufficiency >= settings.min_sufficiency,
        retrieved_tokens=sum(estimate_tokens(f"{hit.passage.context}{hit.passage.text}") for hit in hits),
        fates=_fates(hits, items, fates),
    )


def _with_neighbours(passage: Passage, kept: list[int], budget: int, seen: set[str]) -> int:
    """Adds the sentence before each one that begins by pointing back, and returns what is left of the budget."""
    for index in sorted(kept):
        if index == 0 or index - 1 in kept or not _POINTS_BACK.match(passage.quote(passage.sentences[index])):
            continue
        before = passage.quote(passage.sentences[index - 1])
        tokens = estimate_tokens(before)
        if tokens <= budget and fold(before) not in seen:
            kept.append(index - 1)
            seen.add(fold(before))
            budget -= tokens
    return budget


def _reason(weak: bool, duplicate: bool, full: bool) -> str:
    if weak:
        return "scored too low"
    if duplicate:
        return "repeats other evidence"
    return "enough better passages" if full else ""


def _fates(hits: Sequence[Hit], items: Sequence[EvidenceItem], reasons: dict[str, str]) -> tuple[Fate, ...]:
    scores = {item.passage.id: item.score for item in items}
    return tuple(
        Fate(
            passage_id=hit.passage.id,
            document_id=hit.passage.document_id,
            title=hit.passage.title,
            outcome="evidence" if hit.passage.id in scores else "pruned",
            reason="" if hit.passage.id in scores else reasons[hit.passage.id],
            score=scores.get(hit.passage.id),
        )
        for hit in hits
    )
