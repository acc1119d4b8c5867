"""Haystack asks each component for a synchronous `run` beside `run_async`."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def run_sync(work: Coroutine[Any, Any, T]) -> T:
    """Runs a coroutine to its end from synchronous code that no event loop runs."""
    return asyncio.run(work)
