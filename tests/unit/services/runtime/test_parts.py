"""Parts of a process are opened once, whoever asks, and closed in the opposite order."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property

import pytest

from pipelines.core.settings import Settings
from services.runtime.parts import Parts, opened_once


class Part:
    def __init__(self, name: str, closed: list[str]) -> None:
        self._name, self._closed = name, closed

    def close(self) -> None:
        self._closed.append(self._name)


class Kitchen(Parts):
    """Has an oven that must not be opened twice, and is broken at first if asked for."""

    def __init__(self, *, faults: int = 0) -> None:
        super().__init__(Settings())
        self.opened = 0
        self.closed: list[str] = []
        self.faults = faults
        self.cooking = threading.Event()

    @opened_once
    def oven(self) -> Part:
        """Takes a while to open."""
        self.opened += 1
        time.sleep(0.05)
        if self.opened <= self.faults:
            raise OSError("no gas")
        return self._closing(Part("oven", self.closed))

    @opened_once
    def meal(self) -> str:
        """Needs the oven, in the middle."""
        self.cooking.set()
        time.sleep(0.05)
        return f"from {id(self.oven)}"

    @cached_property
    def sink(self) -> Part:
        return self._closing(Part("sink", self.closed))


def test_threads_that_ask_at_once_open_a_part_once() -> None:
    kitchen = Kitchen()
    with ThreadPoolExecutor(8) as pool:
        ovens = set(pool.map(lambda _: kitchen.oven, range(8)))
    assert (len(ovens), kitchen.opened) == (1, 1)


def test_a_part_that_needs_one_which_another_thread_opens_waits_and_goes_on() -> None:
    kitchen = Kitchen()
    cook = threading.Thread(target=lambda: kitchen.meal, daemon=True)
    cook.start()
    assert kitchen.cooking.wait(10)
    helper = threading.Thread(target=lambda: kitchen.oven, daemon=True)
    helper.start()
    for each in (cook, helper):
        each.join(10)
        assert not each.is_alive()
    assert (kitchen.meal, kitchen.opened) == (f"from {id(kitchen.oven)}", 1)


def test_a_part_that_could_not_be_opened_is_tried_again() -> None:
    kitchen = Kitchen(faults=1)
    with pytest.raises(OSError, match="no gas"):
        _ = kitchen.oven
    assert kitchen.oven is kitchen.oven
    assert kitchen.opened == 2


def test_parts_are_closed_once_the_last_one_first() -> None:
    with Kitchen() as kitchen:
        _ = kitchen.oven, kitchen.sink
    kitchen.close()
    assert kitchen.closed == ["sink", "oven"]


def test_what_was_not_needed_is_neither_opened_nor_closed() -> None:
    with Kitchen() as kitchen:
        _ = kitchen.sink
    assert (kitchen.opened, kitchen.closed) == (0, ["sink"])
