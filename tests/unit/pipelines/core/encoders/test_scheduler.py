"""Forward passes of many threads."""

import threading
import time
from collections.abc import Callable
from itertools import chain

import numpy as np
import pytest

from pipelines.core.encoders.engine import Ids, States
from pipelines.core.encoders.pairs import Window
from pipelines.core.encoders.scheduler import Scheduler


class Recorder:
    """An engine that gives each token its own id, and keeps what it was given."""

    dim, how, size_bytes = 1, "recorder", 0

    def __init__(self, delay_s: float = 0.0, *, prepares_shapes: bool = True) -> None:
        self.prepares_shapes = prepares_shapes
        self.passes: list[list[int]] = []
        self.delay_s = delay_s

    def forward(self, ids: Ids, mask: Ids, types: Ids) -> States:
        self.passes.append([int(row[0]) for row in ids])
        time.sleep(self.delay_s)
        if (ids == 666).any():
            raise RuntimeError("the engine fell")
        return ids[..., None].astype(np.float32)


def windows(*ids: int, tokens: int = 10) -> list[Window]:
    return [Window(place, (each,) * tokens, tokens, ()) for place, each in enumerate(ids)]


def run(scheduler: Scheduler, engine: Recorder, rows: list[Window], *, budget: int = 100) -> dict[int, float]:
    got: dict[int, float] = {}

    def take(window: Window, states: States) -> None:
        got[window.pair] = float(states[len(window.ids) - 1, 0])

    request = scheduler.request(engine, 0, take, weight=sum(len(row.ids) for row in rows), budget=budget)
    request.add(rows)
    request.wait()
    return got


def in_thread(call: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=call)
    thread.start()
    return thread


def test_everyone_gets_their_own() -> None:
    scheduler, engine = Scheduler(), Recorder(0.002)
    results: dict[int, dict[int, float]] = {}
    threads = [
        in_thread(lambda n=n: results.update({n: run(scheduler, engine, windows(n, n + 100, n + 200))}))
        for n in range(1, 30)
    ]
    for thread in threads:
        thread.join()
    assert results == {n: {0: n, 1: n + 100, 2: n + 200} for n in range(1, 30)}


def test_passes_keep_the_budget() -> None:
    engine = Recorder()
    rows = [Window(place, (place + 1,) * size, size, ()) for place, size in enumerate([50, 10, 400, 20, 30])]
    assert run(Scheduler(), engine, rows) == {0: 1, 1: 2, 2: 3, 3: 4, 4: 5}
    assert sorted(map(sorted, engine.passes)) == [[1], [2, 4, 5], [3]]  # 3 rows of 30 tokens, each other alone


def test_what_is_waited_for_is_spread_over_passes() -> None:
    engine = Recorder()
    run(Scheduler(), engine, windows(*range(1, 11), tokens=176), budget=2048)
    assert sorted(map(len, engine.passes)) == [2] * 5
    run(Scheduler(), engine, windows(*range(1, 11), tokens=16), budget=2048)
    assert len(engine.passes) == 6  # what is quick stays together


def test_an_engine_that_prepares_no_shapes_makes_a_pass_for_each_that_run_side_by_side() -> None:
    engine = Recorder(prepares_shapes=False)
    run(Scheduler(), engine, windows(*range(1, 11), tokens=176), budget=2048)
    assert list(map(len, engine.passes)) == [5, 5]


def test_the_width_of_a_pass_says_how_many_rows_it_has() -> None:
    engine = Recorder()
    for lengths in ([20] * 9 + [40] * 9 + [90] * 4, [30] * 13 + [48] * 8 + [81] * 4, [32] * 5 + [33] * 8 + [96] * 4):
        rows = [Window(place, (size,) * size, size, ()) for place, size in enumerate(lengths)]
        assert len(run(Scheduler(), engine, rows, budget=2048)) == len(rows)
    full = {(len(each), -(-max(each) // 16) * 16) for each in engine.passes if len(each) * max(each) > 256}
    assert full == {(4, 96), (8, 48), (12, 32)}


def test_a_bulk_is_not_cut_into_small_passes() -> None:
    engine = Recorder()
    run(Scheduler(), engine, windows(*[7] * 24, tokens=176), budget=2048)
    assert sorted(map(len, engine.passes)) == [2, 11, 11]


def test_requests_that_wait_share_a_pass() -> None:
    scheduler, engine = Scheduler(), Recorder(0.2)
    threads = [in_thread(lambda n=n: run(scheduler, engine, windows(n))) for n in range(1, 13)]
    for thread in threads:
        thread.join()
    assert len(engine.passes) < 6
    assert sorted(chain(*engine.passes)) == list(range(1, 13))


def test_a_question_overtakes_a_bulk() -> None:
    scheduler, engine = Scheduler(), Recorder(0.05)
    bulk = in_thread(lambda: run(scheduler, engine, windows(*[7] * 20, tokens=100)))
    while len(engine.passes) < 3:
        time.sleep(0.001)
    begun = len(engine.passes)
    run(scheduler, engine, windows(1, tokens=5))
    place = next(at for at, each in enumerate(engine.passes) if 1 in each)
    assert place <= begun + 5
    bulk.join()
    assert len(engine.passes) == 21


def test_engines_are_not_mixed() -> None:
    scheduler, engines = Scheduler(), [Recorder(0.01), Recorder(0.01)]
    threads = [in_thread(lambda n=n: run(scheduler, engines[n % 2], windows(n + 1))) for n in range(10)]
    for thread in threads:
        thread.join()
    assert {each % 2 for each in chain(*engines[0].passes)} == {1}
    assert {each % 2 for each in chain(*engines[1].passes)} == {0}


def test_an_engine_s_error_reaches_its_caller_and_nobody_after() -> None:
    scheduler, engine = Scheduler(), Recorder()
    with pytest.raises(RuntimeError, match="engine fell"):
        run(scheduler, engine, windows(*[666] * 50, tokens=100))
    assert run(scheduler, engine, windows(5)) == {0: 5}


def test_a_bulk_gets_on_under_a_stream_of_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.core.encoders.scheduler.PATIENCE_S", 0.05)
    scheduler, engine, done = Scheduler(), Recorder(0.005), threading.Event()

    def ask() -> None:
        while not done.is_set():
            run(scheduler, engine, windows(*[1] * 4, tokens=50))

    askers = [in_thread(ask) for _ in range(6)]
    bulk = in_thread(lambda: run(scheduler, engine, windows(*[7] * 3, tokens=100)))
    bulk.join(30.0)
    ended = not bulk.is_alive()
    done.set()
    for thread in (*askers, bulk):
        thread.join()
    assert ended


def test_what_comes_after_an_error_is_not_worked_on() -> None:
    scheduler, engine = Scheduler(), Recorder()
    request = scheduler.request(engine, 0, lambda window, states: None, weight=1, budget=100)
    request.add(windows(666))
    while not request._job.done.done():
        time.sleep(0.001)
    request.add(windows(*range(50), tokens=100))
    with pytest.raises(RuntimeError, match="engine fell"):
        request.wait()
    run(scheduler, engine, windows(5))
    assert engine.passes == [[666], [5]]


def test_nobody_works_for_a_caller_that_was_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    scheduler, engine = Scheduler(), Recorder(0.01)
    request = scheduler.request(engine, 0, lambda window, states: None, weight=1, budget=100)
    request.add(windows(*[7] * 100, tokens=100))

    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(request._job.done, "result", interrupted)
    with pytest.raises(KeyboardInterrupt):
        request.wait()
    run(scheduler, engine, windows(5))
    assert len(engine.passes) < 60


def test_nothing_to_do_is_done() -> None:
    assert run(Scheduler(), Recorder(), []) == {}
