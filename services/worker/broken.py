"""Messages that nobody can read: each is dropped, and ends nothing. Kombu lets them end the whole worker."""

import logging
from queue import Empty
from typing import Any

logger = logging.getLogger(__name__)


def drop_broken_messages(connection: Any) -> None:
    """Has channels that a connection to Redis opens from here on drop messages that are none; others stay as they are.

    Args:
        connection: Kombu's.
    """
    kind = connection.transport.Channel
    if hasattr(kind, "_brpop_read") and not issubclass(kind, _Sturdy):
        connection.transport.Channel = type(kind.__name__, (_Sturdy, kind), {})


class _Sturdy:
    connection: Any

    def _brpop_read(self, **options: Any) -> Any:
        """Takes a message off the broker's list and hands it on."""
        try:
            return super()._brpop_read(**options)  # type: ignore[misc]  # of the channel that this is mixed into
        except (Empty, *self.connection.connection_errors, *self.connection.channel_errors):
            raise
        except Exception as error:  # the boundary of the process: whoever reaches the broker writes what they like
            logger.error("a message on the broker is none of ours and was dropped (%s)", type(error).__name__)
            return True
