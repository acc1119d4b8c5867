"""What the ingestion task does: one turn of work, and when to take the next."""

import logging
import threading
import traceback

from pipelines.core.errors import StrataError
from pipelines.core.state import DocumentStatus, Ledger
from services.ingestion import Ingestion

LOOK_AGAIN_S = 2.0
"""Pause while documents wait for their next try."""

LONGEST_PAUSE_S = 60.0

logger = logging.getLogger(__name__)


class Ingester:
    """Works the ledger off, turn by turn, with longer and longer pauses while turns fail.

    Attributes:
        stop: Once set, a turn begins no further document.
    """

    def __init__(self, ingestion: Ingestion, ledger: Ledger) -> None:
        self._ingestion, self._ledger = ingestion, ledger
        self._failures = 0
        self.stop = threading.Event()

    @property
    def failing(self) -> bool:
        """Whether the last turn failed as a whole."""
        return self._failures > 0

    def __call__(self) -> float | None:
        """One turn. Returns the pause before the next one in seconds, `None` when nothing waits."""
        try:
            self._ingestion.work(stop=self.stop)
            waiting = self._ledger.counts().documents[DocumentStatus.QUEUED]
        except Exception as error:
            return None if self.stop.is_set() else self._pause_after(error)
        self._failures = 0
        return LOOK_AGAIN_S if waiting and not self.stop.is_set() else None

    def _pause_after(self, error: Exception) -> float:
        self._failures += 1
        pause_s = min(LONGEST_PAUSE_S, 2.0**self._failures)
        if isinstance(error, StrataError):
            pause_s = pause_s if error.retryable else LONGEST_PAUSE_S
            logger.error("ingestion stopped: %s (%s); next try in %g s", error.detail, error.code, pause_s)
        else:  # the message of a foreign exception may quote a document
            where = "".join(traceback.format_tb(error.__traceback__))
            logger.error("ingestion stopped: %s; next try in %g s\n%s", type(error).__name__, pause_s, where)
        return pause_s
