"""Taking personal data out of what is exported: placeholders in its place, the same one for the same text."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, TypeGuard

from pipelines.core.errors import ConfigurationError

if TYPE_CHECKING:
    from pydantic import JsonValue

Span = tuple[int, int]

KINDS = {
    "EMAIL_ADDRESS": "EMAIL",
    "PHONE_NUMBER": "PHONE",
    "IBAN_CODE": "IBAN",
    "CREDIT_CARD": "CARD",
    "IP_ADDRESS": "IP",
    "US_SSN": "SSN",
    "PERSON": "PERSON",
}
"""Presidio's names of what is taken out, and ours."""
ORDER = tuple(KINDS)
"""Where two kinds claim the same text, the longer one counts, then the one that stands first."""
_WORD = re.compile(r"\w")
PATTERNS = "e-mail addresses, phone numbers, IBANs, card numbers, IP addresses and US social security numbers"


class Recognizer(Protocol):
    """Finds one kind of personal data, as Presidio's recognisers do."""

    supported_entities: list[str]

    def analyze(self, text: str, entities: list[str], nlp_artifacts: Any = None) -> list[Any]:
        """What it finds: results with `entity_type`, `start` and `end`."""


class Scrubber:
    """Finds personal data. Loads Presidio on first use (seconds); nothing is downloaded and nothing leaves the process.

    Raises:
        ConfigurationError: the extra `train` is not installed.
    """

    @cached_property
    def names_model(self) -> str | None:
        """The installed spaCy model that finds the names of people; `None` where there is none."""
        from spacy.util import get_installed_models

        return min(get_installed_models(), default=None)

    @property
    def what(self) -> str:
        """What is taken out, and what is not, for a person."""
        if self.names_model is None:
            return f"Scrubbed: {PATTERNS}. Names of people are not: no spaCy model is installed."
        return f"Scrubbed: {PATTERNS}, and names of people as {self.names_model} finds them."

    def record(self, texts: Iterable[str]) -> "Scrubbed":
        """Looks through all texts of one record: what is found in one is replaced in all of them."""
        placeholders: dict[str, str] = {}
        inside: set[str] = set()
        counts: dict[str, int] = {}
        for text in dict.fromkeys(texts):
            for kind, start, end in self.find(text):
                value = text[start:end]
                if _WORD.match(text[start - 1 : start]) or _WORD.match(text, end):
                    inside.add(value)
                if value not in placeholders:
                    counts[kind] = counts.get(kind, 0) + 1
                    placeholders[value] = f"<{kind}_{counts[kind]}>"
        return Scrubbed(placeholders, frozenset(inside))

    def find(self, text: str) -> list[tuple[str, int, int]]:
        """Personal data in a text: kind, start and end, in order and apart."""
        found = [
            (ORDER.index(result.entity_type), result.start, result.end)
            for recognizer in self._recognizers
            for result in recognizer.analyze(text, recognizer.supported_entities)
        ]
        found += [(ORDER.index("PERSON"), start, end) for start, end in self._names(text)]
        chosen: list[tuple[str, int, int]] = []
        for place, start, end in sorted(found, key=lambda each: (each[1] - each[2], each[0])):
            if all(end <= low or high <= start for _, low, high in chosen):
                chosen.append((KINDS[ORDER[place]], start, end))
        return sorted(chosen, key=lambda each: each[1])

    @cached_property
    def _recognizers(self) -> list[Recognizer]:
        try:
            from presidio_analyzer import predefined_recognizers as presidio
        except ImportError as error:
            raise ConfigurationError(
                "Scrubbing personal data needs Presidio: pip install 'strata-rag[train]'."
            ) from error

        class EmailRecognizer(presidio.EmailRecognizer):  # type: ignore[misc]  # ships no types
            def validate_result(self, pattern_text: str) -> bool | None:
                return None  # Presidio's own looks up the list of public suffixes, and lets `ann@corp.local` through

        return [
            EmailRecognizer(),
            presidio.PhoneRecognizer(),
            presidio.IbanRecognizer(),
            presidio.CreditCardRecognizer(),
            presidio.IpRecognizer(),
            presidio.UsSsnRecognizer(),
        ]

    @cached_property
    def _nlp(self) -> Any:
        import spacy

        return spacy.load(self.names_model) if self.names_model else None

    def _names(self, text: str) -> list[Span]:
        if self._nlp is None:
            return []
        return [(each.start_char, each.end_char) for each in self._nlp(text).ents if each.label_ in ("PERSON", "PER")]


@dataclass(frozen=True)
class Scrubbed:
    """What stands for the personal data of one record.

    Attributes:
        placeholders: By the text that each replaces.
        inside: Those of the texts that are replaced inside of words too, since one was found there: `_0301234567_`, or
            anything in a script that puts no spaces between words.
    """

    placeholders: Mapping[str, str]
    inside: frozenset[str] = frozenset()

    @cached_property
    def _pattern(self) -> re.Pattern[str] | None:
        longest_first = sorted(self.placeholders, key=len, reverse=True)
        if not longest_first:
            return None
        return re.compile("|".join(map(self._wanted, longest_first)))

    def _wanted(self, value: str) -> str:
        literal = re.escape(value)
        return literal if value in self.inside else rf"(?<!\w){literal}(?!\w)"

    def text(self, text: str) -> str:
        """A text without the personal data."""
        return self.with_spans(text, ())[0]

    def with_spans(self, text: str, spans: Sequence[Span]) -> tuple[str, list[Span]]:
        """A text without the personal data, and where its spans are now.

        A span that begins or ends inside of what was replaced reaches to the end of the placeholder; several may
        be at the same place then.
        """
        parts: list[str] = []
        cuts: list[tuple[int, int, int, int]] = []
        done = length = 0
        for match in self._pattern.finditer(text) if self._pattern else ():
            length += match.start() - done
            placeholder = self.placeholders[match.group()]
            parts += text[done : match.start()], placeholder
            cuts.append((*match.span(), length, length + len(placeholder)))
            done, length = match.end(), length + len(placeholder)
        return "".join((*parts, text[done:])), [(_moved(low, cuts, 0), _moved(high, cuts, 1)) for low, high in spans]

    def json(self, value: "JsonValue") -> "JsonValue":
        """A JSON value, its texts, keys and numbers without the personal data; a number becomes a text then."""
        if isinstance(value, str):
            return self.text(value)
        if _is_number(value):
            digits = _digits(value)
            return value if (told := self.text(digits)) == digits else told
        if isinstance(value, list):
            return [self.json(item) for item in value]
        if isinstance(value, dict):
            return {self.text(key): self.json(item) for key, item in value.items()}
        return value


def texts_in(value: "JsonValue") -> Iterable[str]:
    """All texts of a JSON value, keys and numbers too: a model that strays from its form may write anything there."""
    if isinstance(value, str):
        yield value
    if _is_number(value):
        yield _digits(value)
    if isinstance(value, dict):
        yield from value
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from texts_in(item)


def _is_number(value: "JsonValue") -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _digits(number: float) -> str:
    """A number as a person writes it: a card's is whole, however it came."""
    return str(int(number)) if isinstance(number, float) and number.is_integer() else str(number)


def _moved(at: int, cuts: Sequence[tuple[int, int, int, int]], side: int) -> int:
    """Where a place is after the cuts `(start, end, new start, new end)`; inside of one, at its side: 0 or 1."""
    shift = 0
    for start, end, new_start, new_end in cuts:
        if at <= start:
            break
        if at < end:
            return (new_start, new_end)[side]
        shift = new_end - end
    return at + shift
