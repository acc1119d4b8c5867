"""Results of stages as they travel: `ID KIND JSON`. Errors travel by their code; nothing is ever unpickled."""

from typing import TypeVar

from pipelines.core.errors import ModelError, StrataError
from pipelines.core.types import Usage, Value

V = TypeVar("V", bound=Value)

RESULT, ERROR = b"result", b"error"


class Failure(Value):
    """An error of the tree, as JSON."""

    code: str
    detail: str
    retry_after_s: float | None = None
    usage: Usage | None = None

    @classmethod
    def of(cls, error: StrataError) -> "Failure":
        """What is sent of an error."""
        return cls(
            code=error.code,
            detail=error.detail,
            retry_after_s=error.retry_after_s,
            usage=getattr(error, "usage", None),
        )

    def error(self) -> StrataError:
        """The error that was sent; of the base class where this version does not know its code."""
        kind = _classes().get(self.code, StrataError)
        error = kind.__new__(kind)  # some classes know their detail, and take none
        StrataError.__init__(error, self.detail, retry_after_s=self.retry_after_s)
        if isinstance(error, ModelError):
            error.usage = self.usage
        return error


def pack(task_id: str, outcome: Value | StrataError) -> bytes:
    """A result or an error, for the process that asked."""
    kind, value = (ERROR, Failure.of(outcome)) if isinstance(outcome, StrataError) else (RESULT, outcome)
    return b" ".join((task_id.encode(), kind, value.model_dump_json().encode()))


def task_id_of(message: bytes) -> str:
    """Whose result a message holds."""
    return message.partition(b" ")[0].decode(errors="replace")


def unpack(message: bytes, result: type[V]) -> V:
    """The result that a message holds.

    Raises:
        StrataError: the error that it holds instead.
        ValueError: it holds neither.
    """
    _, kind, body = message.split(b" ", 2)
    if kind == ERROR:
        raise Failure.model_validate_json(body).error()
    if kind != RESULT:
        raise ValueError(f"unknown kind of result: {kind[:20]!r}")
    return result.model_validate_json(body)


def _classes() -> dict[str, type[StrataError]]:
    found: dict[str, type[StrataError]] = {}
    waiting: list[type[StrataError]] = [StrataError]
    while waiting:
        kind = waiting.pop()
        found.setdefault(kind.code, kind)
        waiting.extend(kind.__subclasses__())
    return found
