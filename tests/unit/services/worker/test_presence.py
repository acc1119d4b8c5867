import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.core.errors import StateUnavailableError
from services.worker import presence
from services.worker.presence import SILENT_S, Presence, touch


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TOUCH_S", "BEAT_S", "SETTLE_S"):
        monkeypatch.setattr(presence, name, 0.02)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.01)


async def test_the_file_is_touched_as_long_as_the_consumer_turns(tmp_path: Path) -> None:
    file, silent_s = tmp_path / "heartbeat", SILENT_S + 1
    touching = asyncio.ensure_future(touch(file, lambda: silent_s))
    await asyncio.sleep(0.1)
    assert not file.exists(), "it has never turned"
    silent_s = 0.0
    await until(file.exists)
    first = file.stat().st_mtime_ns
    await until(lambda: file.stat().st_mtime_ns > first)
    silent_s = SILENT_S + 1
    await asyncio.sleep(0.05)
    last = file.stat().st_mtime_ns
    await asyncio.sleep(0.1)
    assert file.stat().st_mtime_ns == last
    touching.cancel()


async def test_a_folder_that_is_missing_does_not_end_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    touching = asyncio.ensure_future(touch(tmp_path / "none" / "heartbeat", lambda: 0.0))
    await until(lambda: caplog.text.count("heartbeat_file") > 1)
    assert not touching.done()
    touching.cancel()


async def test_the_fleet_is_told_of_changes_and_again_after_a_database_that_was_away() -> None:
    told: list[frozenset[str]] = []
    busy: frozenset[str] = frozenset()

    def beat(roles: frozenset[str]) -> None:
        told.append(roles)
        if len(told) == 1:
            raise StateUnavailableError("away")

    living = Presence(beat, lambda: busy)  # type: ignore[arg-type]
    running = asyncio.ensure_future(living.run())
    await until(lambda: len(told) >= 2)
    busy = frozenset({"ingest"})
    await asyncio.to_thread(living.change)
    await until(lambda: told[-1] == {"ingest"})
    running.cancel()
