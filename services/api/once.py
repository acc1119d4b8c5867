"""Submissions that may be sent again: the same `Idempotency-Key` and request give the same job back."""

from typing import Annotated

from fastapi import Header, Response

from pipelines.core.state import Job

REPLAYED = "Idempotency-Replayed"

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        pattern=r"^[\x20-\x7e]+$",
        description="Your own name for this request, within your tenant. Sent again with the same key, the same "
        "request gives the job that the first one made, and changes nothing; another request is refused.",
    ),
]


def mark(response: Response, job: Job, path: str) -> None:
    """Says where a job is found, and whether an earlier request made it."""
    response.headers["Location"] = f"{path}/{job.id}"
    if job.replayed:
        response.headers[REPLAYED] = "true"
