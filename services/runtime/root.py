"""The composition root: settings in, working objects out. Each part is built when first needed, once a process."""

import threading
from collections.abc import Iterable, Mapping

from pipelines.core.settings import Role
from services.questions.stages import HEADS_OF
from services.runtime.documents import DocumentSide
from services.runtime.questions import QuestionSide
from services.work import Work


class Runtime(QuestionSide, DocumentSide):
    """Everything that one process of Strata needs, shared between its threads and tasks.

    Building one reads nothing and loads nothing. Use it as a context manager, or call `close`; in an event loop that
    asked questions, `await aclose()`. For the arguments see `QuestionSide`.
    """

    def warm_up_roles(self, roles: Iterable[Role]) -> None:
        """Loads the models that a worker of these roles needs, and no other. Connects to nothing."""
        for role in roles:
            if role in ("plan", "prune", "cite"):
                self.head_watch.follow(HEADS_OF[role])
                self.stages.warm_up(role)
            elif role == "answers":
                self.tiers.warm_up()
                self.encoder.warm_up()
            elif role == "ingest":
                self.encoder.warm_up()

    @property
    def turns(self) -> Mapping[Role, Work]:
        """What the ledger roles do. Their parts are built at the first turn, which may find a dependency away."""

        def ingest(stop: threading.Event) -> bool:
            waits = self.ingestion.turn(stop)
            self.sweeper.sweep(stop)
            return waits

        def answers(stop: threading.Event) -> bool:
            return self.batches.turn(stop)

        def sync(stop: threading.Event) -> bool:
            return self.syncs.turn(stop)

        return {"ingest": ingest, "answers": answers, "sync": sync}
