"""What is kept of answers: on SQLite and on PostgreSQL."""

import pytest

from pipelines.core.errors import NotFoundError
from pipelines.core.state import Ledger
from pipelines.core.types import Answer, AnswerStatus, Receipt, StageReceipt, Usage
from tests.support.documents import TENANT


def test_a_receipt_is_kept_without_any_text(ledger: Ledger) -> None:
    usage = Usage(calls=2, tokens_in=10, tokens_out=5, cost_usd=0.25)
    stage = StageReceipt(stage="plan", tier="small", model="m", usage=usage, ms=3)
    receipt = Receipt(stages=(stage,), total_ms=7.5, large_tokens_avoided=4)
    answer = Answer(
        id="a-1", question="secret", status=AnswerStatus.ANSWERED, text="secret", receipt=receipt, config_version="v1"
    )
    ledger.receipts.record(TENANT, answer)
    ledger.receipts.record(TENANT, answer)
    record = ledger.receipts.of("a-1", TENANT)
    assert (record.receipt, record.cost_usd, record.tokens_in, record.total_ms) == (receipt, 0.25, 10, 7.5)
    assert "secret" not in repr(record)
    with pytest.raises(NotFoundError):
        ledger.receipts.of("a-1", "other")
