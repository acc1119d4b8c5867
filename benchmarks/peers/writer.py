"""What the stub model says: sentences of the passages in its prompt, in the form that each system's prompt asks for.

It is the same for all systems: one ranking of sentences by the question's rare words, one number of sentences. It errs
on purpose in one way, as language models do: in a given share of questions its first citation names another passage.
"""

import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

SUMMARY_WORDS = 100
"""paper-qa asks for "about 100 words"."""
PASSAGE_WEIGHT = 0.3
"""Of the question's words found elsewhere in a sentence's passage."""
MIN_WORDS = 4
"""Shorter lines are titles."""

_WORD = re.compile(r"\w+")
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+|\s*\[…\]\s*")
_STOP = frozenset(
    "a an and are as at be by did do does for from has have he her his how in is it its of on or she that the their "
    "they this to was were what when where which who whom whose why will with".split()
)


@dataclass(frozen=True)
class Prompt:
    """A prompt as the stub understood it.

    Attributes:
        passages: What the model was shown: citation marker and text; a marker is empty where none is asked for.
    """

    question: str
    passages: tuple[tuple[str, str], ...]

    @property
    def shown(self) -> str:
        """All passages' text."""
        return "\n".join(text for _, text in self.passages)


@dataclass(frozen=True)
class Written:
    """A reply; `swapped` tells that a citation names the wrong passage."""

    text: str
    prompt: Prompt
    swapped: bool = False


class UnknownPromptError(ValueError):
    """A prompt that no system here is known to send."""


class Writer:
    """Answers every system's prompts, always the same way.

    Args:
        corpus: All passages, for how rare words are.
        sentences: Sentences of an answer.
        swap_share: Share of questions whose first citation is wrong.
    """

    def __init__(self, corpus: Iterable[str], *, sentences: int, swap_share: float) -> None:
        frequencies: Counter[str] = Counter()
        count = 0
        for text in corpus:
            frequencies.update(_terms(text))
            count += 1
        self._rarity = {term: math.log1p((count - n + 0.5) / (n + 0.5)) for term, n in frequencies.items()}
        self._unseen = math.log1p(2 * count + 1)
        self._sentences, self._swap_share = sentences, swap_share

    def write(self, messages: list[dict[str, str]]) -> Written:
        """The reply to a chat.

        Raises:
            UnknownPromptError: the prompt is of no known form.
        """
        prompt = messages[-1]["content"]
        if prompt.startswith("Excerpt from "):
            return self._summary(prompt)
        return self._answer(read(prompt))

    def _answer(self, prompt: Prompt) -> Written:
        ranked = sorted(self._ranked(prompt), key=lambda each: -each[0])
        chosen: list[tuple[str, str]] = []
        for _, marker, sentence in ranked:
            if all(sentence != other for _, other in chosen):
                chosen.append((marker, sentence))
            if len(chosen) == self._sentences:
                break
        markers = sorted({marker for marker, _ in prompt.passages} - {chosen[0][0]}) if chosen else []
        swapped = bool(markers and chosen[0][0]) and _draw(prompt.question) < self._swap_share
        if swapped:
            chosen[0] = (markers[int(_draw(prompt.question + "?") * len(markers))], chosen[0][1])
        return Written("\n".join(f"{text} {marker}".strip() for marker, text in chosen), prompt, swapped)

    def _summary(self, prompt: str) -> Written:
        # paper-qa: "Excerpt from {citation}\n\n---\n\n{text}\n\n---\n\nQuestion: {question}"
        _, text, question = prompt.split("\n\n---\n\n", 2)
        read_as = Prompt(question.removeprefix("Question: "), (("", text),))
        asked = _terms(read_as.question)
        relevance = self._weight(asked & _terms(text)) / max(self._weight(asked), 1e-9)
        if not relevance:
            return Written(json.dumps({"summary": "", "relevance_score": 0}), read_as)
        sentences = [sentence for _, _, sentence in self._ranked(read_as)]
        best = sorted(self._ranked(read_as), key=lambda each: -each[0])
        kept: set[str] = set()
        words = 0
        for _, _, sentence in best:
            if kept and words + len(sentence.split()) > SUMMARY_WORDS:
                break
            kept.add(sentence)
            words += len(sentence.split())
        summary = " ".join(sentence for sentence in sentences if sentence in kept)
        return Written(json.dumps({"summary": summary, "relevance_score": max(1, round(10 * relevance))}), read_as)

    def _ranked(self, prompt: Prompt) -> list[tuple[float, str, str]]:
        asked = _terms(prompt.question)
        found = []
        for marker, text in prompt.passages:
            around = self._weight(asked & _terms(text))
            for sentence in sentences_of(text):
                score = self._weight(asked & _terms(sentence)) + PASSAGE_WEIGHT * around
                found.append((score, marker, sentence))
        return found

    def _weight(self, terms: set[str]) -> float:
        return sum(self._rarity.get(term, self._unseen) for term in terms)


def read(prompt: str) -> Prompt:
    """Finds question and passages in the prompt of a large call.

    Raises:
        UnknownPromptError: the prompt is of no known form.
    """
    if prompt.startswith("{"):  # Strata
        data = json.loads(prompt)
        passages = tuple((f"[{each['number']}]", each["text"]) for each in data["evidence"])
        return Prompt(data["question"], passages)
    if "Now it's your turn." in prompt:  # LlamaIndex's citation query engine
        _, shown = prompt.split("Now it's your turn.", 1)
        shown, question = shown.rsplit("\nQuery: ", 1)
        parts = re.split(r"^Source (\d+):\n", shown, flags=re.MULTILINE)[1:]
        passages = tuple((f"[{n}]", text.strip(" \n-")) for n, text in zip(parts[::2], parts[1::2], strict=True))
        return Prompt(question.removesuffix("\nAnswer: ").strip(), passages)
    if "Valid Keys: " in prompt:  # paper-qa
        shown, rest = prompt.split("Context:\n\n", 1)[1].rsplit("\n\nValid Keys: ", 1)
        parts = re.split(r"^(pqac-[0-9a-f]+): ", shown, flags=re.MULTILINE)[1:]
        passages = tuple(
            (f"({key})", text.rsplit("\nFrom ", 1)[0]) for key, text in zip(parts[::2], parts[1::2], strict=True)
        )
        return Prompt(rest.split("Question: ", 1)[1].split("\n\nWrite an answer", 1)[0], passages)
    if prompt.startswith("Given the following documents"):  # Haystack
        shown, question = prompt.split("Documents:\n", 1)[1].rsplit("\nQuestion: ", 1)
        parts = re.split(r"^\[(\d+)\] ", shown, flags=re.MULTILINE)[1:]
        passages = tuple((f"[{n}]", text.strip()) for n, text in zip(parts[::2], parts[1::2], strict=True))
        return Prompt(question.removesuffix("\nAnswer:").strip(), passages)
    if prompt.startswith("Answer the following question using the provided context."):  # txtai
        question, shown = prompt.split("Question:\n", 1)[1].split("\n\nContext:\n", 1)
        return Prompt(question, (("", shown.strip()),))
    raise UnknownPromptError(f"no system is known to ask like this: {prompt[:80]!r}")


def sentences_of(text: str) -> list[str]:
    """Sentences of a text, verbatim, titles left out."""
    return [each for part in _SENTENCE.split(text) if len((each := part.strip()).split()) >= MIN_WORDS]


def _terms(text: str) -> set[str]:
    return set(_WORD.findall(text.lower())) - _STOP


def _draw(text: str) -> float:
    """A number in [0, 1) that depends on the text alone."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) / 2**64
