"""Receipts of answers: what an answer took, and none of its text."""

from pipelines.core.access import Labels, covers
from pipelines.core.errors import NotFoundError
from pipelines.core.state.clock import Clock, utc_now
from pipelines.core.state.database import Database
from pipelines.core.state.records import AnswerRecord
from pipelines.core.state.tables import AnswerRow
from pipelines.core.types import Answer, Receipt


class Receipts:
    """Receipts of answers. Safe to share between threads and processes; may raise `StateUnavailableError`."""

    def __init__(self, database: Database, clock: Clock = utc_now) -> None:
        self._database, self._clock = database, clock

    def record(self, tenant: str, answer: Answer, *, labels: Labels | None = None) -> None:
        """Keeps an answer's receipt, and none of its text. Recording an answer again replaces it.

        Args:
            labels: Access labels of whoever asked; `None`: every one.
        """
        total = answer.receipt.total
        row = AnswerRow(
            answer_id=answer.id,
            tenant=tenant,
            created_at=self._clock(),
            status=answer.status,
            total_ms=answer.receipt.total_ms,
            cost_usd=total.cost_usd,
            tokens_in=total.tokens_in,
            tokens_out=total.tokens_out,
            config_version=answer.config_version,
            labels=labels,
            receipt=answer.receipt.model_dump(mode="json", exclude={"total"}),
        )
        with self._database.write() as session:
            session.merge(row)

    def of(self, answer_id: str, tenant: str, *, labels: Labels | None = None) -> AnswerRecord:
        """The receipt of an answer.

        Raises:
            NotFoundError: the tenant has no such answer.
        """
        with self._database.read() as session:
            row = session.get(AnswerRow, answer_id)
            if row is None or row.tenant != tenant or not covers(labels, row.labels):
                raise NotFoundError(f"There is no answer {answer_id}.")
            return AnswerRecord(
                answer_id=row.answer_id,
                tenant=row.tenant,
                created_at=row.created_at,
                status=row.status,
                total_ms=row.total_ms,
                cost_usd=row.cost_usd,
                tokens_in=row.tokens_in,
                tokens_out=row.tokens_out,
                config_version=row.config_version,
                receipt=Receipt.model_validate(row.receipt),
            )
