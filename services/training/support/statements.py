"""Questions with their answers as statements: `who wrote X` and `Y` are `Y wrote X`."""

import re
from collections.abc import Callable

_WHO = re.compile(r"^(?:who|what|which \w+)\s((?!did|does|do|has\s\w+\s\w+ed|is\sthe\sname)[a-z]+\s.+)$")
_WHO_DID = re.compile(r"^(?:who|what|which \w+)\s(?:did|does|do)\s(.+)$")
_WHEN_DID = re.compile(r"^(when|where)\s(?:did|does|do)\s(.+)$")
_WHEN_IS = re.compile(
    r"^(when|where)\s(is|was|are|were)\s(.+?)(?:\s(\w+ed|built|made|born|held|found|written|set|won|shot|taken|located))?$"
)
_HOW_MANY = re.compile(r"^how many\s(.+)$")
_AUXILIARY = re.compile(r"^(\w+(?:\s\w+)?)\s(?:did|does|do)\s(.+)$")
_NAME = re.compile(r"^(?:what|who)('s| is| was) (the .+)$")
_PREPOSITION = re.compile(r"^(?:in|on|at|during|from|by|since|until|around|after|before|between|the)\b", re.I)


def state(question: str, answer: str) -> str | None:
    """A question of a common form and its answer as one sentence, in lower case where the question is; else `None`."""
    asked = question.strip().rstrip("?").strip()
    lowered = asked[:1].lower() + asked[1:]
    answer = answer.strip().rstrip(".")
    stated = _stated(lowered, answer)
    return stated[:1].upper() + stated[1:] + "." if stated else None


def _stated(question: str, answer: str) -> str | None:
    for pattern, build in _FORMS:
        if match := pattern.match(question):
            return build(match, answer)
    return None


def _when_is(match: re.Match[str], answer: str) -> str:
    word, verb, subject, participle = match.groups()
    return f"{subject} {verb} {participle + ' ' if participle else ''}{_placed(word, answer)}"


def _how_many(match: re.Match[str], answer: str) -> str:
    rest = match.group(1)
    if inverted := _AUXILIARY.match(rest):
        return f"{inverted.group(2)} {answer} {inverted.group(1)}"
    return (
        f"there are {answer} {rest.removesuffix(' are there')}" if rest.endswith(" are there") else f"{answer} {rest}"
    )


def _placed(word: str, answer: str) -> str:
    if _PREPOSITION.match(answer):
        return answer
    day = bool(re.search(r"\d{1,2},? \d{4}", answer))
    return f"{'on' if word == 'when' and day else 'in'} {answer}"


_FORMS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str], str], str]], ...] = (
    (_NAME, lambda match, answer: f"{match[2]} {'was' if match[1].strip() == 'was' else 'is'} {answer}"),
    (_WHO_DID, lambda match, answer: f"{match[1]} {answer}"),
    (_WHO, lambda match, answer: f"{answer} {match[1]}"),
    (_WHEN_DID, lambda match, answer: f"{match[2]} {_placed(match[1], answer)}"),
    (_WHEN_IS, _when_is),
    (_HOW_MANY, _how_many),
)


def recase(text: str, passage: str) -> str:
    """A text with capitals on the words that a passage never has without."""
    words = re.findall(r"\w+", passage)
    small = {word for word in words if word.islower()}
    capital = {word.lower(): word for word in words if word.lower() not in small}
    changed = re.sub(r"\w+", lambda match: capital.get(match[0], match[0]), text)
    return changed[:1].upper() + changed[1:]
