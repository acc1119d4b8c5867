"""The threads of the API process: few, and as many idle as under load. Whoever waits for a model holds none."""

import asyncio
from typing import Final

from anyio.to_thread import current_default_thread_limiter

from services.loop import started_threads

WORK_THREADS: Final = 12
"""For what blocks in questions and submissions: searches, receipts, blobs. Each takes milliseconds."""
ROUTE_THREADS: Final = 6
"""For routes that only read or change the state. Both together leave connections of the state database for probes."""


def bound_threads() -> None:
    """Gives the running event loop its threads; it ends them when it closes."""
    asyncio.get_running_loop().set_default_executor(started_threads(WORK_THREADS, "strata-work"))
    current_default_thread_limiter().total_tokens = ROUTE_THREADS
