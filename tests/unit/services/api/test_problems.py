import inspect
import json

import pytest

from pipelines.core import errors
from pipelines.core.errors import StrataError
from services.api import problems
from services.api.limits import TooManyQuestionsError


def every_error(kind: type[StrataError] = StrataError) -> list[type[StrataError]]:
    return [kind, *(inner for child in kind.__subclasses__() for inner in every_error(child))]


@pytest.mark.parametrize("kind", every_error(), ids=lambda kind: kind.__name__)
def test_every_error_of_the_tree_has_a_status(kind: type[StrataError]) -> None:
    says_by_itself = "detail" not in inspect.signature(kind).parameters
    error = kind() if says_by_itself else kind("why")  # type: ignore[call-arg]
    response = problems.from_error(error)
    details = json.loads(response.body)
    assert 400 <= response.status_code < 600
    assert response.media_type == "application/problem+json"
    assert (details["status"], details["code"], details["retryable"]) == (
        response.status_code,
        kind.code,
        kind.retryable,
    )


def test_the_nearest_base_decides() -> None:
    assert problems.status_of(errors.EmptyDocumentError("x")) == problems.STATUS[errors.DocumentError]
    assert problems.status_of(errors.ModelOutputError("x")) == problems.STATUS[errors.ModelError]
    assert problems.status_of(errors.RequestTooLargeError("x")) == 413


def test_what_may_pass_says_when_to_come_back() -> None:
    assert problems.from_error(TooManyQuestionsError("busy")).headers["retry-after"] == "2"
    assert problems.from_error(errors.IndexUnavailableError("away")).headers["retry-after"] == "2"
    assert "retry-after" not in problems.from_error(errors.IndexMismatchError("other encoder")).headers


def test_a_wrong_configuration_is_not_explained_to_clients() -> None:
    response = problems.from_error(errors.ConfigurationError("models[0].api_key: os.environ/SECRET_NAME is not set"))
    assert response.status_code == 500
    assert b"SECRET_NAME" not in response.body


def test_a_flood_of_mistakes_is_answered_in_brief() -> None:
    found = [{"loc": ("body", "k" * 10_000, number), "msg": "Value error, no"} for number in range(10_000)]
    response = problems.from_validation(found)
    assert len(response.body) < 10_000
    assert json.loads(response.body)["errors"][0]["detail"] == "no"


def test_validation_names_the_field_and_keeps_the_input_out() -> None:
    found = [{"loc": ("body", "limits", "deadline_ms"), "msg": "must be positive", "input": "private", "type": "x"}]
    details = json.loads(problems.from_validation(found).body)
    assert details["errors"] == [{"field": "body.limits.deadline_ms", "detail": "must be positive"}]
    assert details["detail"] == "body.limits.deadline_ms: must be positive"
    assert "private" not in json.dumps(details)
