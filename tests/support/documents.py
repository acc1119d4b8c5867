"""Documents as the state database's suites submit them, and a worker that is elsewhere."""

from pipelines.core.state import Ledger, Submission, WorkItem

TENANT = "default"


def submission(number: int = 1, version: str = "a", **changes: object) -> Submission:
    """A version of a document."""
    values = {
        "document_id": f"doc-{number}",
        "source": f"file-{number}.pdf",
        "name": f"file-{number}.pdf",
        "content_sha256": version * 64,
        "size_bytes": 10,
        "format": "pdf",
        "blob_key": f"blob-{number}-{version}",
        "fingerprint": f"{version}-{number}",
        "metadata": {"year": 2024, "tags": ("x", "y")},
    }
    return Submission(**(values | changes))  # type: ignore[arg-type]


def claim(ledger: Ledger, limit: int = 10) -> list[WorkItem]:
    """Takes documents as a worker of another machine, for a minute."""
    return ledger.leases.claim(limit, "elsewhere:1:x", lease_s=60)


def finish(ledger: Ledger, item: WorkItem) -> bool:
    """Reports a document as indexed; returns whether it was recorded."""
    return ledger.leases.finish(item, passages=3, title="Title", text_key=f"text-{item.fingerprint}")


def index(ledger: Ledger, *submissions: Submission) -> None:
    """Submits documents and indexes whatever is queued."""
    ledger.accept(TENANT, submissions)
    for item in claim(ledger):
        assert finish(ledger, item)
