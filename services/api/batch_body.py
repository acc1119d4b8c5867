"""A batch of questions as it comes in: checked line by line, kept on disk, accepted when every line is good."""

import hashlib
import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Self

from fastapi.exceptions import RequestValidationError
from pydantic import TypeAdapter, ValidationError

from pipelines.core.access import Principal
from pipelines.core.errors import InvalidRequestError, RequestTooLargeError
from pipelines.core.state import NewQuestion, Once
from pipelines.core.types import Question
from services.api.job_schemas import BatchQuestion, BatchQuestions
from services.api.schemas import Exchangeable

MAX_PROBLEMS = 20
IN_MEMORY = 1024 * 1024

_QUESTION: TypeAdapter[BatchQuestion] = TypeAdapter(Annotated[BatchQuestion, Exchangeable])
_QUESTIONS: TypeAdapter[BatchQuestions] = TypeAdapter(BatchQuestions)


class QuestionLines:
    """The questions of one batch, on disk where they are many.

    Args:
        caller: Whose tenant and access labels the questions carry.
        check: Refuses a question that would not be answered; raises `InvalidRequestError`.
        max_line: Bytes of the longest line.
    """

    def __init__(
        self, caller: Principal, check: Callable[[Question], None], *, max_questions: int, max_line: int
    ) -> None:
        self._caller, self._check = caller, check
        self._max_questions, self._max_line = max_questions, max_line
        self._file = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115  # this object is the context
        self._digest = hashlib.sha256(json.dumps(caller.labels).encode())
        self._rest = b""
        self._line = self._count = 0
        self._problems: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        """Gives the lines, to be forgotten on leaving."""
        return self

    def __exit__(self, *_: object) -> None:
        """Removes what is on disk."""
        self._file.close()

    def feed(self, chunk: bytes) -> None:
        """Takes a piece of JSON lines.

        Raises:
            RequestTooLargeError: there are too many lines, or one is too long.
            RequestValidationError: so many are wrong that the others are not looked at.
        """
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        if len(self._rest) > self._max_line:
            raise RequestTooLargeError(f"Line {self._line + len(lines) + 1} is longer than {self._max_line:,} bytes.")
        for line in lines:
            self._take(line)

    def end(self) -> None:
        """Takes the last line.

        Raises:
            RequestValidationError: lines are wrong; each is named.
            InvalidRequestError: there is no question.
        """
        rest, self._rest = self._rest, b""
        self._take(rest)
        self._refuse()

    def whole(self, body: bytes) -> None:
        """Takes a whole batch as one JSON object. Raises as `feed` and `end` do."""
        try:
            questions = _QUESTIONS.validate_json(body).questions
        except ValidationError as error:
            raise RequestValidationError(_found(error, "body")) from error
        for number, question in enumerate(questions):
            self._add(question, "questions", number)
        self._refuse()

    def once(self, key: str | None) -> Once | None:
        """Marks the batch by what it asks, where the caller named it."""
        return None if key is None else Once(key, self._digest.hexdigest())

    def __iter__(self) -> Iterator[NewQuestion]:
        """The questions, in order."""
        self._file.seek(0)
        for line in self._file:
            custom_id, question = json.loads(line)
            yield NewQuestion(question, custom_id)

    def __len__(self) -> int:
        """How many there are."""
        return self._count

    def _take(self, line: bytes) -> None:
        self._line += 1
        if len(line) > self._max_line:
            raise RequestTooLargeError(f"Line {self._line} is longer than {self._max_line:,} bytes.")
        if not line.strip():
            return
        try:
            data = json.loads(line)
        except (ValueError, RecursionError):
            self._problem(f"line {self._line}", detail="This is not JSON.")
            return
        self._add(data, f"line {self._line}")

    def _add(self, data: object, *place: str | int) -> None:
        if self._count >= self._max_questions:
            raise RequestTooLargeError(f"There are more than {self._max_questions:,} questions in this batch.")
        self._count += 1
        try:
            asked = _QUESTION.validate_python(data)
            question = asked.of(self._caller)
            self._check(question)
        except ValidationError as error:
            for each in _found(error, "body", *place):
                self._problem(*each["loc"][1:], detail=each["msg"])
            return
        except InvalidRequestError as error:
            self._problem(*place, detail=error.detail)
            return
        kept = json.dumps([asked.custom_id, question.model_dump(mode="json")], sort_keys=True).encode() + b"\n"
        self._digest.update(kept)
        self._file.write(kept)

    def _problem(self, *place: str | int, detail: str) -> None:
        self._problems.append({"loc": ("body", *place), "msg": detail})
        if len(self._problems) >= MAX_PROBLEMS:
            self._refuse()

    def _refuse(self) -> None:
        if self._problems:
            raise RequestValidationError(self._problems[:MAX_PROBLEMS])
        if not self._count:
            raise InvalidRequestError("There is no question in this batch.")


@contextmanager
def refused() -> Iterator[None]:
    """Lines that are wrong as an error of Strata's own, for callers beyond HTTP.

    Raises:
        InvalidRequestError: they are; the first is named.
    """
    try:
        yield
    except RequestValidationError as error:
        first, *others = error.errors()
        place = ".".join(str(part) for part in first["loc"][1:])
        more = f" (and {len(others)} more)" if others else ""
        raise InvalidRequestError(f"{place}: {first['msg'].removeprefix('Value error, ')}{more}") from error


def _found(error: ValidationError, *prefix: str | int) -> list[dict[str, Any]]:
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return [{"loc": (*prefix, *each["loc"]), "msg": each["msg"]} for each in found]
