"""Requests made from the service's own OpenAPI description: what it allows, and what it does not."""

import copy
import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, Verbosity, given, settings
from hypothesis.errors import HypothesisDeprecationWarning, Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

TIMEOUT_S = 30
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


@dataclass(slots=True)
class Tally:
    """What came of it.

    Attributes:
        failures: By operation and kind of failure, the first of each in words.
    """

    statuses: Counter[tuple[str, int]] = field(default_factory=Counter)
    failures: dict[tuple[str, str], str] = field(default_factory=dict)

    @property
    def requests(self) -> int:
        """How many were made."""
        return self.statuses.total()


def fuzz(
    described: Mapping[str, Any],
    base_url: str,
    *,
    examples: int,
    authorization: str | None,
    allowed: Callable[[str, int], bool] = lambda path, status: True,
) -> Tally:
    """Sends requests to every operation.

    Args:
        described: The OpenAPI description.
        examples: For each operation: as many again that break the description.
        authorization: Header to send; `None` sends none.
        allowed: Whether a path may answer with a status.
    """
    tally = Tally()
    with requests.Session() as session, warnings.catch_warnings():
        # the service runs in a thread of this process, and uses `random` at any time
        warnings.filterwarnings("ignore", "Do not use the `random` module", HypothesisDeprecationWarning)
        for result in schemathesis.openapi.from_dict(_without_keys(described)).get_all_operations():
            operation = result.ok()
            for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
                _operation(tally, operation, mode, session, base_url, examples, authorization, allowed)
    return tally


def _without_keys(described: Mapping[str, Any]) -> dict[str, Any]:
    """The description as if no operation asked for a key: which one is sent is not for Schemathesis to make up."""
    copied: dict[str, Any] = copy.deepcopy(dict(described))
    for methods in copied["paths"].values():
        for operation in methods.values():
            operation.pop("security", None)
    copied["components"].pop("securitySchemes", None)
    return copied


def _operation(
    tally: Tally,
    operation: Any,
    mode: GenerationMode,
    session: requests.Session,
    base_url: str,
    examples: int,
    authorization: str | None,
    allowed: Callable[[str, int], bool],
) -> None:
    @settings(
        max_examples=examples,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        database=None,
        deadline=None,
        verbosity=Verbosity.quiet,
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def send(case: Any) -> None:
        headers = {} if authorization is None else {"Authorization": authorization}
        response = case.call(base_url=base_url, session=session, headers=headers, timeout=TIMEOUT_S)
        tally.statuses[operation.label, response.status_code] += 1
        if not allowed(operation.path, response.status_code):
            tally.failures.setdefault((operation.label, "reached"), f"{response.status_code}: {case.as_curl_command()}")
        if response.status_code == 504 and response.json()["code"] == "deadline_exceeded":
            return  # the request set a deadline that it could not keep
        try:
            case.validate_response(response, checks=CHECKS)
        except FailureGroup as found:
            for failure in found.exceptions:
                kind = type(failure).__name__
                told = f"{failure}\n{response.status_code} {response.text[:500]}\n{case.as_curl_command()[:2000]}"
                tally.failures.setdefault((operation.label, kind), told)

    try:
        send()
    except Unsatisfiable:  # an operation without parameters: nothing can break its description
        assert mode is GenerationMode.NEGATIVE, operation.label
