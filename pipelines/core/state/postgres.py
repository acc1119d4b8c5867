"""PostgreSQL connections on which no call waits for ever: not for a server that hangs, nor for one that vanished."""

import time
from typing import Any

from psycopg import Connection, OperationalError
from sqlalchemy import Engine, event

CONNECT_S = 5
ANSWER_S = 30.0
"""Longest wait for the answer to one statement. Ours take milliseconds; those behind a lock wait their turn."""

SILENT_S = 20
"""A connection on which a server has acknowledged nothing for so long is given up."""

IDLE_S = 60
"""A process that stops or vanishes in the middle of a transaction keeps the locks that it holds for so long."""

ARGUMENTS = {
    "connect_timeout": CONNECT_S,
    "keepalives_idle": SILENT_S,
    "keepalives_interval": CONNECT_S,
    "keepalives_count": 3,
    "tcp_user_timeout": SILENT_S * 1000,
}


class BoundedConnection(Connection[Any]):
    """A connection that is given up when the server does not answer.

    Nothing else helps against a server that hangs: its kernel acknowledges what it is sent, and it does not look at
    its own `statement_timeout`.

    Attributes:
        answer_s: Longest wait for one answer.
    """

    answer_s: float = ANSWER_S

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """See psycopg. A timeout of the caller's own is the caller's."""
        if timeout is not None:
            return super().wait(gen, interval, timeout)
        end = time.monotonic() + self.answer_s
        try:
            return super().wait(gen, interval, self.answer_s)
        except OperationalError as error:
            if time.monotonic() < end:
                raise
            self.pgconn.finish()  # the answer may come yet, and nobody would know to what
            raise OperationalError(f"the server did not answer within {self.answer_s:g} s") from error


def bound(engine: Engine) -> None:
    """Has an engine open such connections."""

    def connect(_dialect: Any, _record: Any, arguments: list[Any], named: dict[str, Any]) -> BoundedConnection:
        connection = BoundedConnection.connect(*arguments, autocommit=True, **named)
        # not as an option of the connection, which a pooler in between may refuse
        connection.execute(f"SET idle_in_transaction_session_timeout = {IDLE_S * 1000}")
        connection.autocommit = False
        return connection

    event.listen(engine, "do_connect", connect)
