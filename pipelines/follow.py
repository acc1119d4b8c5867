"""Evidence that does not suffice → another search, for the documents that it names: the other half of a question.

HotpotQA train, two-paragraph questions, a second round for all of 50 of them: .97 of the gold paragraphs found instead
of .93, .95 in the evidence instead of .92. Off by default all the same: sufficiency hardly sees that half of an answer
is missing, and called for a second round for none of 80, for one in 80 with a gold paragraph taken away
(`python -m benchmarks.rounds multihop_wiki`, with and without `--every`).
"""

import asyncio
import re
from collections.abc import Sequence

from haystack import component

from pipelines.core.encoders import Encoder
from pipelines.core.session import Session, Stopwatch
from pipelines.core.settings import RetrieveSettings
from pipelines.core.store import Fusion, RankedQuery, Store
from pipelines.core.sync import run_sync
from pipelines.core.tasks import Runner
from pipelines.core.text import fold, terms
from pipelines.core.types import Evidence, Hit, Question, StageReceipt
from pipelines.prune import prune_hits
from pipelines.reading import bare_title

MOST_NAMES = 12
"""Names that one search looks for."""
MOST_FOLLOWED = 5
"""Passages that it adds."""
FOUND = 40
"""Passages that are looked through for those under such a title."""
MIN_NAME_CHARS = 4
"""Shorter titles are named by chance."""

_NAME = re.compile(r"[A-ZÀ-ÖØ-Þ0-9][\w'’.-]+(?:(?: (?:of|the|de|and|for|in))* [A-ZÀ-ÖØ-Þ0-9][\w'’.-]+)*")


def title_key(title: str) -> str:
    """What titles are compared by: not by case, nor by a leading article, nor by what tells namesakes apart."""
    words = fold(bare_title(title)).split()
    return " ".join(words[1:] if len(words) > 1 and not terms(words[0]) else words)


def names_in(question: str, evidence: Evidence) -> list[str]:
    """What the evidence's passages name and the question does not, at most `MOST_NAMES`, best passage first."""
    asked = terms(question)
    found: dict[str, str] = {}
    for item in sorted(evidence.items, key=lambda each: -each.score):
        known = asked | terms(item.passage.title)
        for sentence in item.passage.sentences:
            for match in _NAME.findall(item.passage.quote(sentence)):
                name = match.strip(".'’-")
                if len(name) >= MIN_NAME_CHARS and terms(name) - known:
                    found.setdefault(title_key(name), name)
    return list(found.values())[:MOST_NAMES]


@component
class Follower:
    """Searches once more where the evidence does not suffice, and has it chosen anew from all that was found."""

    def __init__(self, store: Store, encoder: Encoder, runner: Runner, settings: RetrieveSettings) -> None:
        self._store, self._encoder, self._runner = store, encoder, runner
        self._rounds, self._fusion = settings.rounds, Fusion.of(settings)

    @component.output_types(evidence=Evidence)
    def run(
        self, question: Question, standalone: str, hits: tuple[Hit, ...], evidence: Evidence, session: Session
    ) -> dict[str, Evidence]:
        """See `run_async`."""
        return run_sync(self.run_async(question, standalone, hits, evidence, session))

    @component.output_types(evidence=Evidence)
    async def run_async(
        self, question: Question, standalone: str, hits: tuple[Hit, ...], evidence: Evidence, session: Session
    ) -> dict[str, Evidence]:
        """Does nothing where the evidence suffices, or names no document that is in the index and was not found yet.

        Evidence that was chosen by a lesser way says nothing of whether it suffices: what there was before stays.
        """
        for _ in range(1, self._rounds):
            names = [] if evidence.sufficient else names_in(standalone, evidence)
            if not names:
                break
            with session.stage("retrieve"):
                found = await asyncio.to_thread(self.find, names, question, hits, session)
            if not found:
                break
            hits = (*hits, *found)
            pruned = await prune_hits(self._runner, question, standalone, hits, session)
            if pruned.receipt.fallback:
                break
            evidence = pruned.evidence
        return {"evidence": evidence}

    def find(self, names: Sequence[str], question: Question, known: Sequence[Hit], session: Session) -> tuple[Hit, ...]:
        """Passages under a title that is one of the names, those left out that are known; at most `MOST_FOLLOWED`.

        They come last, but with the score of the best hit: what a title names is to be read, whatever words it shares
        with the question.
        """
        watch = Stopwatch()
        embedded = self._encoder.embed(list(names))
        queries = [RankedQuery(name, vector) for name, vector in zip(names, embedded.vectors, strict=True)]
        found = self._store.search(queries, limit=FOUND, fusion=self._fusion, filter=question.filter)
        session.record(
            StageReceipt(stage="retrieve", tier="index", model=self._encoder.name, usage=embedded.usage, ms=watch.ms)
        )
        titles, seen = {title_key(name) for name in names}, {hit.passage.id for hit in known}
        top = max((hit.score for hit in known), default=0.0)
        new = [hit for hit in found if title_key(hit.passage.title) in titles and hit.passage.id not in seen]
        return tuple(Hit(passage=hit.passage, score=top) for hit in new[:MOST_FOLLOWED])
