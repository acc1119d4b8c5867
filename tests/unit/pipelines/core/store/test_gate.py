"""The readers-writer lock."""

import threading

from pipelines.core.store.gate import Gate


def test_readers_share() -> None:
    gate = Gate()
    both = threading.Barrier(2, timeout=30)

    def read() -> None:
        with gate.reading():
            both.wait()  # breaks unless the other reader is inside too

    other = threading.Thread(target=read)
    other.start()
    read()
    other.join()
    assert not both.broken


def test_a_writer_is_alone_and_goes_before_new_readers() -> None:
    gate = Gate()
    order: list[str] = []
    waiting = threading.Event()

    def write() -> None:
        waiting.set()
        with gate.writing():
            order.append("writer")

    def read() -> None:
        with gate.reading():
            order.append("late reader")

    with gate.reading():
        writer = threading.Thread(target=write)
        writer.start()
        waiting.wait(30)
        while not gate._writers_waiting:
            pass
        reader = threading.Thread(target=read)
        reader.start()
        reader.join(0.05)
        assert order == []
    writer.join(30)
    reader.join(30)
    assert order == ["writer", "late reader"]


def test_an_error_inside_gives_the_lock_back() -> None:
    gate = Gate()
    for enter in (gate.reading, gate.writing, gate.reading):
        try:
            with enter():
                raise KeyError
        except KeyError:
            continue
    with gate.writing():
        assert gate._writing
