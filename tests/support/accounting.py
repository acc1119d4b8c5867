"""What became of every document that a cluster accepted, held against the ledger's tables and the index itself."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import httpx
import psycopg

from tests.support.cluster import Cluster

PAGE = 1000


@dataclass(frozen=True)
class Account:
    """Of a set of documents, by their sources.

    Attributes:
        accepted: Documents that a 202 was received for.
        lost: Accepted, and neither indexed nor failed with a reason.
        failed: By reason.
        passages: Published in the index.
        duplicated: Published passages that stand there twice, or in two versions of one document.
        missing: Passages that the ledger has as indexed and the index has not.
        staged: Passages that were written and never published, and are still there.
        embedded_again: Passages that were embedded and sent although the index had them.
    """

    accepted: int
    indexed: int
    failed: dict[str, int]
    lost: int
    passages: int
    duplicated: int
    missing: int
    staged: int
    embedded_again: int

    @property
    def holds(self) -> bool:
        """Whether nothing was lost, doubled or paid for twice."""
        adds_up = self.accepted == self.indexed + sum(self.failed.values())
        return adds_up and not (self.lost or self.duplicated or self.missing or self.embedded_again)

    def figures(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self) | {"holds": self.holds}


def account(cluster: Cluster, sources: Iterable[str], *, again_before: int = 0) -> Account:
    """Counts; nothing may be at work any more.

    Args:
        sources: Of the documents that were accepted; each has its own.
        again_before: What `written_again` said before them.
    """
    wanted = set(sources)
    rows = [row for row in documents(cluster) if row["source"] in wanted]
    return tally(len(wanted), rows, passages(cluster), written_again(cluster) - again_before)


def tally(accepted: int, rows: list[dict[str, Any]], payloads: Iterable[dict[str, Any]], again: int) -> Account:
    """The account of these rows of the ledger, from all passages of the index."""
    ids = {row["id"] for row in rows}
    published: Counter[tuple[str, int]] = Counter()
    versions: dict[str, set[str]] = {}
    staged = 0
    for payload in payloads:
        if payload["document_id"] not in ids:
            continue
        if "scope" not in payload:
            staged += 1
            continue
        published[payload["document_id"], payload["start"]] += 1
        versions.setdefault(payload["document_id"], set()).add(payload["version"])
    held = Counter(document for document, _ in published)
    indexed = [row for row in rows if row["status"] == "indexed"]
    failed = Counter(row["error_code"] for row in rows if row["status"] == "failed" and row["error_code"])
    return Account(
        accepted=accepted,
        indexed=len(indexed),
        failed=dict(failed),
        lost=accepted - len(indexed) - failed.total(),
        passages=published.total(),
        duplicated=sum(published.values()) - len(published) + sum(len(found) - 1 for found in versions.values()),
        missing=sum(max(0, row["passages"] - held[row["id"]]) for row in indexed),
        staged=staged,
        embedded_again=again,
    )


def written_again(cluster: Cluster) -> int:
    """Passages that were embedded and sent although the index had them."""
    return cluster.qdrant.counts()["passages_written_again"]


def documents(cluster: Cluster) -> list[dict[str, Any]]:
    """The rows of the ledger's documents."""
    with connect(cluster) as connection:
        cursor = connection.execute("SELECT * FROM documents")
        names = [column.name for column in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in cursor]


def open_documents(cluster: Cluster) -> int:
    """Documents that have not ended."""
    with connect(cluster) as connection:
        row = connection.execute("SELECT count(*) FROM documents WHERE status IN ('queued', 'running')").fetchone()
    return int(row[0]) if row else 0


def held_by(cluster: Cluster, pid: int) -> dict[str, str]:
    """Documents that a process of this machine has leased, with the lease's token."""
    with connect(cluster) as connection:
        rows = connection.execute(
            "SELECT id, lease_token FROM documents WHERE lease_owner LIKE %s AND status = 'running'", [f"%:{pid}:%"]
        ).fetchall()
    return {row[0]: row[1] for row in rows}


def connect(cluster: Cluster) -> psycopg.Connection:
    """A connection to the state database, read only, past all that Strata does with it."""
    url = cluster.database_url.replace("+psycopg", "")
    return psycopg.connect(url, autocommit=True, connect_timeout=5)


def passages(cluster: Cluster) -> Iterator[dict[str, Any]]:
    """What every passage point of the live collection says of itself."""
    url = f"{cluster.qdrant.url}/collections/{cluster.settings.index.collection}/points/scroll"
    where = {"must": [{"key": "level", "match": {"value": "passage"}}]}
    fields = ["document_id", "version", "start", "scope"]
    offset = None
    while True:
        body = {"limit": PAGE, "offset": offset, "filter": where, "with_payload": fields}
        result = httpx.post(url, json=body, timeout=60).raise_for_status().json()["result"]
        yield from (point["payload"] for point in result["points"])
        offset = result["next_page_offset"]
        if offset is None:
            return
