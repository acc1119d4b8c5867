import logging
from pathlib import Path

import pytest

from pipelines.core.errors import IndexMismatchError, IndexUnavailableError
from pipelines.core.state import Ledger, Submission
from services.worker.ingester import LONGEST_PAUSE_S, LOOK_AGAIN_S, Ingester


class Ingestion:
    """Fails with what it is given, in order; then works."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)

    def work(self, *, stop: object) -> int:
        if self.failures:
            raise self.failures.pop(0)
        return 0


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "state.sqlite")


def queue_one(ledger: Ledger) -> None:
    names = ("document_id", "source", "name", "content_sha256", "blob_key", "fingerprint")
    ledger.accept("default", [Submission(**dict.fromkeys(names, "x"), size_bytes=1, format="md")])


def test_pauses_grow_while_it_fails_and_end_when_it_works(ledger: Ledger) -> None:
    turn = Ingester(Ingestion(*[IndexUnavailableError("away")] * 8), ledger)
    pauses = [turn() for _ in range(8)]
    assert pauses == [2, 4, 8, 16, 32, LONGEST_PAUSE_S, LONGEST_PAUSE_S, LONGEST_PAUSE_S]
    assert turn.failing
    assert turn() is None
    assert not turn.failing


def test_what_will_not_pass_is_tried_seldom(ledger: Ledger) -> None:
    assert Ingester(Ingestion(IndexMismatchError("other encoder")), ledger)() == LONGEST_PAUSE_S


def test_it_looks_again_while_documents_wait_for_their_next_try(ledger: Ledger) -> None:
    queue_one(ledger)
    turn = Ingester(Ingestion(), ledger)
    assert turn() == LOOK_AGAIN_S
    turn.stop.set()
    assert turn() is None


def test_a_stopping_worker_does_not_complain_of_what_was_closed_under_it(
    ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    turn = Ingester(Ingestion(IndexUnavailableError("closed")), ledger)
    turn.stop.set()
    assert turn() is None
    assert not caplog.records


def test_the_log_keeps_foreign_messages_out(ledger: Ledger, caplog: pytest.LogCaptureFixture) -> None:
    secret = "text of a document"
    with caplog.at_level(logging.ERROR):
        assert Ingester(Ingestion(ValueError(secret)), ledger)() == 2
    assert "ValueError" in caplog.text
    assert secret not in caplog.text
