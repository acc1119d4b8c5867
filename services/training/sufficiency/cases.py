"""Questions with what is found for them, where the answer is in the corpus and where it is not.

The answer is taken out before anything is ranked: what is left has the ranks, and the fused scores, that it would have
in a corpus without it.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, islice, pairwise
from pathlib import Path

import numpy as np

from pipelines.core.encoders import Encoder
from pipelines.core.settings import RetrieveSettings
from pipelines.core.store.fusion import best, fuse
from pipelines.core.types import Hit, Passage, Sentence
from services.evaluation.data.rows import CorpusDocument, GroundingRow, QueryRow, read
from services.evaluation.data.split import is_held_out
from services.training.evidence.hotpot import SOURCE as TWO_HOPS
from services.training.evidence.hotpot import hotpot_texts
from services.training.evidence.lexical import Lexical
from services.training.evidence.made_questions import asked_there, made_questions
from services.training.evidence.near_miss import Asked
from services.training.evidence.real import conversations, search_questions
from services.training.evidence.recipe import HELD_OUT, SEARCH_HELD_OUT
from services.training.sufficiency.data import holds
from services.training.texts import Text

SEARCHED = 110
"""Questions of nq_gold."""
DOMAINS = ("cloud", "fiqa", "clapnq")
DOMAIN_TEXTS = 1200
MADE, ASKED = 30, 25
"""Questions of each domain of MTRAG: made of its sentences, and asked in its texts."""
EXPERTS, CONVERSATIONS = 60, 60
SUPPORTED = "Complete"
CUT = "~cut"
"""Ends the id of a passage without its answer."""

Keep = Callable[[Text], bool]


@dataclass(frozen=True, slots=True)
class Case:
    """A question with what was found for it, with its answer or without."""

    question: str
    hits: tuple[Hit, ...]
    answerable: bool
    source: str


class Finder:
    """Finds texts as the retrieve stage finds passages: by weighted reciprocal ranks of the encoder and of BM25.

    Embeds all texts once.
    """

    def __init__(self, texts: Sequence[Text], encoder: Encoder) -> None:
        self._texts = {text.id: text for text in texts}
        self._encoder, self._settings = encoder, RetrieveSettings()
        self._lexical = Lexical(list(self._texts.values()))
        self._ids = np.array(list(self._texts))
        self._vectors = encoder.embed([f"{text.context}\n{text.text}" for text in self._texts.values()]).vectors

    def __contains__(self, text_id: str) -> bool:
        return text_id in self._texts

    def find(self, question: str, keep: Keep = lambda text: True) -> tuple[Hit, ...]:
        """What the stage would hand on, were the corpus only those texts that are to be kept."""
        settings = self._settings
        cosine = self._vectors @ self._encoder.embed([question]).vectors[0]
        dense = [self._texts[each] for each in self._ids[np.argsort(-cosine, kind="stable")]]
        words = self._lexical.find(question, len(self._texts))
        rankings = [
            (weight, [text.id for text in islice(filter(keep, ranked), settings.candidates)])
            for weight, ranked in ((settings.dense_weight, dense), (settings.bm25_weight, words))
        ]
        scores = fuse(rankings, settings.rrf_k)
        return tuple(
            Hit(passage=_passage(self._texts[each]), score=scores[each]) for each in best(scores, settings.top_k)
        )


def held_out_cases(encoder: Encoder, data: Path, seed: int) -> Iterator[Case]:
    """Questions of many kinds, each with its answer in the corpus and without; of two passages one is taken away.

    Where the sentences that answer are known, a third case has their passage without them: what is found then is of the
    right article, and near. Those of nq_gold and HotpotQA are held out from the head `evidence`. Questions whose answer
    is not found with the answer in the corpus are left out.

    Raises:
        InvalidRequestError: a file is missing or malformed.
    """
    chance = random.Random(seed)  # noqa: S311  # not for security
    domains = (_domain(data, each, chance) for each in DOMAINS)
    for texts, asked in chain((_search(data), _two_hops(data), _pages(data, chance)), domains):
        finder = Finder([*texts, *filter(None, map(without_answer, asked))], encoder)
        for each in asked:
            yield from cases_of(each, finder, chance)


def cases_of(asked: Asked, finder: Finder, chance: random.Random) -> Iterator[Case]:
    """A question with its answer and without; nothing where the answer is not found."""
    golds = [asked.gold, *(text for text, _ in asked.more_gold)]
    hits = finder.find(asked.question, lambda text: not text.id.endswith(CUT))
    if not {text.id for text in golds} <= {hit.passage.id for hit in hits}:
        return
    taken, cut = _document(chance.choice(golds).id), asked.gold.id + CUT

    def elsewhere(text: Text) -> bool:
        whole = not text.id.endswith(CUT)
        return whole and _document(text.id) != taken and not holds(text.text, asked.answers)

    yield Case(asked.question, hits, True, asked.source)
    yield Case(asked.question, finder.find(asked.question, elsewhere), False, asked.source)
    if cut in finder:
        near = finder.find(asked.question, lambda text: text.id == cut or elsewhere(text))
        yield Case(asked.question, near, False, asked.source)


def without_answer(asked: Asked) -> Text | None:
    """The passage that answers without the sentences that do; `None` where they are not known, or are all of it."""
    text, good = asked.gold, set(asked.good or ())
    left = [each for at, each in enumerate(text.sentences) if at not in good and not holds(each, asked.answers)]
    if asked.more_gold or not good or not left:
        return None
    ends = [0, *accumulate(len(each) + 1 for each in left)]
    spans = tuple((start, end - 1) for start, end in pairwise(ends))
    return Text(text.id + CUT, text.context, " ".join(left), spans)


Corpus = tuple[list[Text], list[Asked]]


def _search(data: Path) -> Corpus:
    """nq_gold."""
    texts = [Text.of_document(each) for each in read(data / "nq_gold" / "shared" / "corpus.jsonl.gz", CorpusDocument)]
    held_out = (each for each in search_questions(data) if is_held_out(each.group, SEARCH_HELD_OUT))
    return texts, list(islice(held_out, SEARCHED))


def _two_hops(data: Path) -> Corpus:
    """HotpotQA: the paragraphs that come with the questions of `train`, as one corpus."""
    every = hotpot_texts(data)
    queries = [
        each
        for each in read(data / "multihop_wiki" / "train" / "queries.jsonl.gz", QueryRow)
        if (each.source or "").startswith(TWO_HOPS)
    ]
    texts = {name: every[name] for query in queries for name in query.candidates}
    asked = []
    for query in queries:
        golds = [(texts[each.doc_id], each.sent_ids or ()) for each in query.gold if each.doc_id in texts]
        if len(golds) > 1 and is_held_out(query.id, HELD_OUT):
            asked.append(Asked(query.question, *golds[0], TWO_HOPS, more_gold=tuple(golds[1:])))
    return list(texts.values()), asked


def _pages(data: Path, chance: random.Random) -> Corpus:
    """Pages of the web: what experts' questions were answered from, and what assistants replied in conversations."""
    texts: dict[str, Text] = {}
    experts: dict[str, Asked] = {}
    for row in read(data / "expertqa" / "train" / "grounding.jsonl.gz", GroundingRow):
        for number, page in enumerate(row.context):
            text = Text.of_document(CorpusDocument(id=f"{row.question_id}#{row.id}/{number}", text=page.text))
            texts.setdefault(page.text, text)
            if row.label == SUPPORTED and text.spans:
                experts.setdefault(row.question, Asked(row.question, texts[page.text], None, "expertqa"))
    replies = list(conversations(data))
    asked = [
        *chance.sample(sorted(experts.values(), key=lambda each: each.question), min(EXPERTS, len(experts))),
        *chance.sample(replies, min(CONVERSATIONS, len(replies))),
    ]
    return [*texts.values(), *(each.gold for each in replies)], asked


def _domain(data: Path, domain: str, chance: random.Random) -> Corpus:
    """Whole documents of a domain of MTRAG's corpus, and questions of their texts."""
    documents: dict[str, list[Text]] = {}
    for each in read(data / "mtrag" / "shared" / "corpus.jsonl.gz", CorpusDocument):
        if each.meta.get("domain") == domain:
            documents.setdefault(_document(each.id), []).append(Text.of_document(each))
    names = chance.sample(sorted(documents), len(documents))
    texts = {text.id: text for text in islice((text for name in names for text in documents[name]), DOMAIN_TEXTS)}
    there = list(islice(made_questions(texts.values(), domain, chance, (asked_there,)), ASKED))
    used = {each.gold.id for each in there}
    others = (text for text in texts.values() if text.id not in used)
    made = list(islice(made_questions(others, domain, chance), MADE))
    texts.update({each.gold.id: each.gold for each in there})  # the question itself is no part of its answer
    return list(texts.values()), [*there, *made]


def _document(text_id: str) -> str:
    """What a text is a piece of: `cloud:ibmcld_00194` of `cloud:ibmcld_00194-1364-2940`, `q` of `q#claim/0`."""
    whole = text_id.removesuffix(CUT).partition("#")[0]
    return whole.rsplit("-", 2)[0] if ":" in whole else whole


def _passage(text: Text) -> Passage:
    return Passage(
        id=text.id,
        document_id=_document(text.id),
        version="",
        section_id=text.id,
        title=text.context,
        source=text.id,
        start=0,
        end=len(text.text),
        text=text.text,
        sentences=tuple(Sentence(start=start, end=end) for start, end in text.spans),
    )
