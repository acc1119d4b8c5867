"""Tenants, labels and keys in one running service, and what each key may know and change."""

import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import select

from pipelines.core.access import Labels, Principal, covers
from pipelines.core.state import DocumentStatus, QuestionStatus, SourceStatus
from pipelines.core.state.tables import ApiKeyRow, BatchQuestionRow, DocumentRow, JobItemRow, JobRow, SourceRow
from services.runtime import Runtime
from tests.support.api_server import ApiServer

TENANTS = 3
QUIET_S = 30.0
BUSY_SOURCES = (SourceStatus.QUEUED, SourceStatus.RUNNING, SourceStatus.DELETING)
BUSY_DOCUMENTS = (DocumentStatus.QUEUED, DocumentStatus.RUNNING, DocumentStatus.DELETING)


def word() -> str:
    """A word that stands nowhere else."""
    return f"q{uuid.uuid4().hex[:12]}"


@dataclass(frozen=True, slots=True)
class Cell:
    """Documents of one tenant with the same labels.

    Attributes:
        bait: In text and source. Anybody may send it.
        secrets: In text, title, file name and metadata; nobody sends one but the document's owner.
    """

    tenant: str
    labels: Labels
    bait: str = field(default_factory=word)
    secrets: tuple[str, ...] = field(default_factory=lambda: tuple(word() for _ in range(4)))

    def document(self, suffix: str = "") -> dict[str, Any]:
        """As `POST /v1/documents` takes it."""
        text, title, name, value = self.secrets
        return {
            "text": f"# About {title}\n\nThe {self.bait} was found near {text} in spring. It was kept there.{suffix}",
            "title": f"Title {title}",
            "name": f"{name}.md",
            "source": self.bait,
            "labels": list(self.labels),
            "metadata": {"place": value},
        }


@dataclass(frozen=True, slots=True)
class Actor:
    """Somebody with a key."""

    principal: Principal
    secret: str

    @property
    def headers(self) -> dict[str, str]:
        """That authenticate a request."""
        return {"Authorization": f"Bearer {self.secret}"}


@dataclass(frozen=True, slots=True)
class Thing:
    """Something that exists and has an id. `covered`: seen by who holds all the labels, not by who holds one."""

    kind: str
    id: str
    tenant: str
    labels: Labels | None
    covered: bool = True

    def seen_by(self, reader: Principal) -> bool:
        """Whether the reader may know of it."""
        if reader.tenant != self.tenant:
            return False
        return covers(reader.labels, self.labels) if self.covered else reader.sees(self.labels or ())


class World:
    """Three tenants with four readers and four kinds of documents each, indexed and at rest."""

    def __init__(self, server: ApiServer, sources: Path) -> None:
        self.server, self.runtime, self._sources = server, server.runtime, sources
        self.folders: list[Folder] = []
        self.actors: list[Actor] = []
        self.cells: list[Cell] = []
        self.things: list[Thing] = []
        self.names: dict[str, tuple[str, str]] = {}
        for _ in range(TENANTS):
            self._tenant()
        self.rest()

    def _tenant(self) -> None:
        tenant, one, two = word(), word(), word()
        self.names[tenant] = (one, two)
        for labels in (None, (), (one,), tuple(sorted((one, two)))):
            key, secret = self.runtime.keys.create(tenant, "reader", ["ask", "ingest", "admin"], labels=labels)
            self.actors.append(Actor(key.principal, secret))
            self.things.append(Thing("key", key.id, tenant, labels))
        cells = [Cell(tenant, labels) for labels in ((), (one,), (two,), tuple(sorted((one, two))))]
        self.cells += cells
        owner = next(each for each in self.actors if each.principal.tenant == tenant)
        # one that fails, for those who would try it again
        documents = [*(cell.document() for cell in cells), {"text": "", "name": "empty.md", "labels": [one]}]
        response = self.server.client.post("/v1/documents", json={"documents": documents}, headers=owner.headers)
        assert response.status_code == 202, response.text
        self.learn(owner, response.json())

    def folder(self, tenant: str, labels: Sequence[str]) -> "Folder":
        """A new one with a document."""
        cell = Cell(tenant, tuple(sorted(labels)))
        path = self._sources / word()
        path.mkdir()
        document = cell.document()
        (path / document["name"]).write_text(document["text"])
        made = Folder(cell, f"file://{path}/")
        self.cells.append(cell)
        self.folders.append(made)
        return made

    def learn(self, actor: Actor, body: Any) -> None:
        """Remembers the ids that a response gave to whoever asked for it."""
        tenant, labels = actor.principal.tenant, actor.principal.labels
        for kind, found in _ids(body):
            if not any(thing.id == found for thing in self.things):
                self.things.append(Thing(kind, found, tenant, labels))
        known = {thing.id for thing in self.things}
        with self.runtime.database.read() as session:
            for kind, row in (("document", DocumentRow), ("source", SourceRow)):
                statement = select(row.id, row.tenant, row.labels).where(row.tenant.in_(self.names))
                rows = [each for each in session.execute(statement) if each[0] not in known]
                self.things += [Thing(kind, found, owner, carried, covered=False) for found, owner, carried in rows]

    def rest(self) -> None:
        """Waits until nothing is being worked on."""
        end = time.monotonic() + QUIET_S
        while time.monotonic() < end:
            # in this order: a source brings documents before it ends
            with self.runtime.database.read() as session:
                busy = len(session.scalars(select(SourceRow.id).where(SourceRow.status.in_(BUSY_SOURCES))).all())
            questions = self.runtime.batch_ledger.counts()
            documents = self.runtime.ledger.counts().documents
            busy += sum(questions[status] for status in (QuestionStatus.QUEUED, QuestionStatus.RUNNING))
            busy += sum(documents[status] for status in BUSY_DOCUMENTS)
            if not busy:
                return
            time.sleep(0.005)
        raise AssertionError("the service does not come to rest")

    def forbidden(self, reader: Principal) -> Iterator[str]:
        """What must never appear in a response to this reader."""
        for tenant, labels in self.names.items():
            if tenant != reader.tenant:
                yield tenant
            held = labels if reader.labels is None else reader.labels
            yield from (label for label in labels if tenant != reader.tenant or label not in held)
        for cell in self.cells:
            if cell.tenant != reader.tenant or not reader.sees(cell.labels):
                yield from cell.secrets
        yield from (thing.id for thing in self.things if not thing.seen_by(reader))
        yield from (actor.secret for actor in self.actors if actor.principal != reader)


def _ids(body: Any) -> Iterator[tuple[str, str]]:
    if not isinstance(body, dict):
        return
    job = body.get("job", body)
    if "counts" in job:
        yield ("batch" if job["kind"] == "answers" else "job"), job["id"]
    if "citations" in body:
        yield "answer", body["id"]
    if "secret" in body:
        yield "key", body["key"]["id"]


@dataclass(frozen=True, slots=True)
class Folder:
    """A source to synchronise: a folder whose documents are a cell's."""

    cell: Cell
    url: str


State = Mapping[tuple[str, str], tuple[object, ...]]


def others(runtime: Runtime, world: World, actor: Principal) -> State:
    """All that the database holds of this world's tenants and that the actor may not change."""
    found: dict[tuple[str, str], tuple[object, ...]] = {}
    with runtime.database.read() as session:
        for document in session.scalars(select(DocumentRow).where(DocumentRow.tenant.in_(world.names))):
            if document.tenant != actor.tenant or not actor.owns(document.labels):
                facts = (document.status, document.version, document.pending_version, document.updated_at)
                found["document", document.id] = facts
        for job in session.scalars(select(JobRow).where(JobRow.tenant.in_(world.names))):
            if job.tenant == actor.tenant and actor.covers(job.labels):
                continue
            found["job", job.id] = (job.total, job.cancelled_at, job.labels)
            for item in session.scalars(select(JobItemRow).where(JobItemRow.job_id == job.id)):
                found["item", f"{job.id}/{item.ordinal}"] = (item.status, item.updated_at)
            for asked in session.scalars(select(BatchQuestionRow).where(BatchQuestionRow.job_id == job.id)):
                found["question", f"{job.id}/{asked.ordinal}"] = (asked.status, asked.attempts, asked.finished_at)
        for key in session.scalars(select(ApiKeyRow).where(ApiKeyRow.tenant.in_(world.names))):
            if key.tenant != actor.tenant or not actor.covers(key.labels):
                facts = (key.revoked_at, key.scopes, key.labels, key.rate_per_minute, key.expires_at)
                found["key", key.id] = facts
        for source in session.scalars(select(SourceRow).where(SourceRow.tenant.in_(world.names))):
            if source.tenant != actor.tenant or not actor.owns(source.labels):
                found["source", source.id] = (source.url, source.generation, source.status, source.labels)
    return found
