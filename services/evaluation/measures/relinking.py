"""Whether the cite stage finds seeded errors in citations, and leaves the others alone.

A claim is a gold sentence of a question, as it stands or reworded, that cites its passage. Half of them are corrupted:
the marker leads to another passage, or the claim has another number, another name or the opposite of what its source
says. The stage sees each claim as a draft of its own, over the passages of its question.
"""

import random
import re
from dataclasses import dataclass

from pipelines.cite import EncoderCiter
from pipelines.core.tasks import CiteStage, CiteTask
from pipelines.core.types import Draft, Evidence, EvidenceItem
from services.evaluation.baselines import token_overlap
from services.evaluation.context import Context
from services.evaluation.corruption import list_names, negate, swap_name, swap_number
from services.evaluation.data.candidates import Candidates, list_candidates
from services.evaluation.result import Measure, ScoredItem, TaskResult
from services.evaluation.tables import figures_of

WRITTEN, MOST_WORDS = "markers as written", "most words in common"
WORDS, STAGE = "words, numbers and cosine", "cite stage"
BASELINES = (WRITTEN, MOST_WORDS)

PASSAGE, NUMBER, NAME, OPPOSITE = "wrong passage", "swapped number", "swapped name", "negation"
CHANGED = (NUMBER, NAME, OPPOSITE)
KINDS = (PASSAGE, *CHANGED)
GOOD = ""
CAUGHT, LOST, RELINKED, RIGHT = "caught", "good ones lost", "re-linked rightly", "citations that are right"
MEASURES = (
    Measure(name=CAUGHT),
    Measure(name=LOST, better="lower"),
    *(Measure(name=f"{CAUGHT}: {kind}") for kind in KINDS),
    Measure(name=RELINKED),
    Measure(name=RIGHT),
)

Corrupted = tuple[str, str, int]
"""Kind, claim and marker."""

DEFAULT_QUESTIONS = 100
PASSAGES = 5
"""Of a question's passages: those with gold sentences, and the nearest others."""
MIN_OVERLAP = 0.8
"""Of the baseline by words: a claim with less of its words in the best sentence is cited to nothing."""

_POINTS_BACK = re.compile(r"^(He|She|It|They)\b")
_ASIDE = re.compile(r"\s*\([^()]*\)")
_LOWERED = re.compile(r"^(The|A|An|In|On|At|It|He|She|They|This|There|After|Before|During)\b")


@dataclass(frozen=True, slots=True)
class Cited:
    """A claim as a writer might hand it over.

    Attributes:
        evidence: The passages of its question, numbered.
        number: The marker that it carries.
        gold: Id of the passage that it was made of.
        kind: How it was corrupted; empty where it was not.
    """

    id: str
    claim: str
    evidence: Evidence
    number: int
    gold: str
    kind: str
    reworded: bool


async def measure_relinking(context: Context) -> TaskResult:
    """Runs the real cite stage over good and corrupted claims."""
    items = [
        each for each in context.evaluated.items if each.candidates and any(gold.sent_ids for gold in each.evidence)
    ]
    questions = list_candidates(context, context.first(items, DEFAULT_QUESTIONS))
    claims = [claim for question in questions for claim in make_claims(question, context.seed)]
    stages: dict[str, CiteStage] = {STAGE: context.runtime.runner.cite}
    if context.runtime.heads.get("support"):
        stages[WORDS] = EncoderCiter(context.runtime.encoder, context.settings.cite)
    scored = []
    for claim in claims:
        cited = {WRITTEN: {claim.evidence.items[claim.number - 1].passage.id}, MOST_WORDS: _by_words(claim)}
        for system, stage in stages.items():
            cited[system] = await _by_stage(context, stage, claim)
        scored += [_score(claim, system, passages) for system, passages in cited.items()]
    corrupted = sum(claim.kind != GOOD for claim in claims)
    return TaskResult(
        task="citation",
        about="Share of seeded errors in citations that are caught, and of good citations that are lost.",
        measures=MEASURES,
        figures=figures_of(scored, MEASURES, baselines=BASELINES, seed=context.seed),
        notes=(
            f"{len(claims)} claims of {len(questions)} questions, {corrupted} of them corrupted.",
            "A wrong passage is caught where it is no longer cited, a changed claim where nothing is cited for it.",
        ),
        items=tuple(scored),
    )


def make_claims(question: Candidates, seed: int) -> list[Cited]:
    """The gold sentences of a question as claims, half of them corrupted, half of them reworded."""
    evidence = _evidence(question)
    numbers = {item.passage.id: item.number for item in evidence.items}
    passages = {item.passage.id: item.passage for item in evidence.items}
    claims = []
    for passage_id, index in sorted(question.gold):
        name = f"{question.item.id} {passage_id} {index}"
        chance = random.Random(f"{seed} {name}")  # noqa: S311  # no secret
        passage = passages[passage_id]
        sentence = passage.quote(passage.sentences[index]).strip()
        reworded = chance.random() < 0.5
        claim = reword(sentence, passage.title) if reworded else sentence
        number, kind = numbers[passage_id], GOOD
        if chance.random() < 0.5:
            kind, claim, number = _corrupt(claim, number, question, evidence, chance)
        claims.append(Cited(name, claim, evidence, number, passage_id, kind, reworded))
    return claims


def reword(sentence: str, title: str) -> str:
    """The same said in other words: no source holds it word for word."""
    shorter = _ASIDE.sub("", sentence)
    named = _POINTS_BACK.sub(title, shorter) if title else shorter
    if named != sentence:
        return named
    return "It is said that " + _LOWERED.sub(lambda match: match.group().lower(), sentence)


def _evidence(question: Candidates) -> Evidence:
    """All passages with gold sentences, and the nearest others, in the order in which they were found."""
    gold = {passage_id for passage_id, _ in question.gold}
    others = [hit.passage.id for hit in question.hits if hit.passage.id not in gold]
    chosen = gold | set(others[: max(1, PASSAGES - len(gold))])
    hits = [hit for hit in question.hits if hit.passage.id in chosen]
    return Evidence(
        items=tuple(
            EvidenceItem(number=number, passage=hit.passage, score=1.0, kept=tuple(range(len(hit.passage.sentences))))
            for number, hit in enumerate(hits, 1)
        ),
        sufficiency=1.0,
        sufficient=True,
    )


def _corrupt(claim: str, number: int, question: Candidates, evidence: Evidence, chance: random.Random) -> Corrupted:
    """The first kind, in a drawn order, that the claim has something for; else a wrong passage."""
    names = list_names(passage.text for passage in question.passages)
    seed = chance.random()
    changed = {
        NUMBER: lambda: swap_number(claim, str(seed)),
        NAME: lambda: swap_name(claim, str(seed), names),
        OPPOSITE: lambda: negate(claim, str(seed)),
    }
    for kind in chance.sample(KINDS, len(KINDS)):
        if kind == PASSAGE:
            break
        other = changed[kind]()
        if other:
            return kind, other, number
    gold = {passage_id for passage_id, _ in question.gold}
    wrong = [item.number for item in evidence.items if item.passage.id not in gold]
    return (PASSAGE, claim, chance.choice(wrong)) if wrong else (GOOD, claim, number)


async def _by_stage(context: Context, stage: CiteStage, claim: Cited) -> set[str]:
    """The passages that the stage leaves the claim cited to."""
    draft = Draft(text=f"{claim.claim} [{claim.number}]")
    timeout_s = context.settings.answer.deadline_s
    result = await stage(CiteTask(question=claim.claim, draft=draft, evidence=claim.evidence, timeout_s=timeout_s))
    return {citation.passage_id for citation in result.citations}


def _by_words(claim: Cited) -> set[str]:
    """The passage of the sentence that holds most of the claim's words, if it holds enough of them."""
    overlaps = [
        (token_overlap(claim.claim, item.passage.quote(sentence)), item.passage.id)
        for item in claim.evidence.items
        for sentence in item.passage.sentences
    ]
    best, passage_id = max(overlaps)
    return {passage_id} if best >= MIN_OVERLAP else set()


def _score(claim: Cited, system: str, cited: set[str]) -> ScoredItem:
    right = float(claim.gold in cited)
    scores: dict[str, float | None] = {}
    if claim.kind == GOOD:
        scores[LOST] = 1 - right
    else:
        wrong = claim.evidence.items[claim.number - 1].passage.id
        caught = float(wrong not in cited if claim.kind == PASSAGE else not cited)
        scores |= {CAUGHT: caught, f"{CAUGHT}: {claim.kind}": caught}
    if claim.kind == PASSAGE:
        scores[RELINKED] = right
    if claim.kind in (GOOD, PASSAGE) and cited:
        scores[RIGHT] = right / len(cited)
    return ScoredItem(
        id=claim.id,
        system=system,
        group="reworded" if claim.reworded else "word for word",
        scores=scores,
        detail={"kind": claim.kind, "claim": claim.claim, "cited": sorted(cited)},
    )
